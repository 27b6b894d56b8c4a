//! Who makes the requests.

use std::fmt;

use ureq::{Agent, RequestBuilder, typestate::WithoutBody};

/// Makes requests. Deadlines, ranges and the handling of failures are added to what it makes.
pub trait Client: Send + Sync + fmt::Debug {
    /// A request for `url`, with the headers that this client sends along.
    fn get(&self, url: &str) -> RequestBuilder<WithoutBody>;
}

/// Sends no header but the name of this program.
#[derive(Clone, Debug)]
pub struct PlainClient(Agent);

impl Default for PlainClient {
    fn default() -> Self {
        let config =
            Agent::config_builder().user_agent(concat!("graft/", env!("CARGO_PKG_VERSION")));
        Self(config.build().new_agent())
    }
}

impl Client for PlainClient {
    fn get(&self, url: &str) -> RequestBuilder<WithoutBody> {
        self.0.get(url)
    }
}
