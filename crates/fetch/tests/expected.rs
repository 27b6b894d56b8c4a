//! What is known of a file before it is fetched, what the server says of it, and what a person is told meanwhile.

mod server;

use std::{fs, sync::Arc, time::Duration};

use graft_fetch::{Client, FetchError, NoProgress, Options, PlainClient, describe};
use server::{Case, Reply, Server, body, files};
use ureq::{RequestBuilder, typestate::WithoutBody};

/// Adds a header to every request.
#[derive(Debug, Default)]
struct Named(PlainClient);

impl Client for Named {
    fn get(&self, url: &str) -> RequestBuilder<WithoutBody> {
        self.0.get(url).header("x-name", "graft")
    }
}

#[test]
fn a_file_of_another_size_is_refused() {
    for (script, found) in [
        (vec![Reply::Body], "300000"),
        (vec![Reply::NoLength], "300000"),
    ] {
        let server = Server::new(body(), None, script);
        let mut case = Case::new();
        case.options.size = Some(200_000);
        let error = case.get(&server.url()).unwrap_err();
        assert!(matches!(error, FetchError::Size { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains(found) && text.contains("expected 200000"),
            "{text}"
        );
        assert_eq!(files(case.to.parent().unwrap()), [""; 0]);
    }
}

/// A connection that ends early is no end of the file, even where only the caller knows how long it is.
#[test]
fn a_known_size_unmasks_a_cut() {
    let server = Server::new(body(), Some("\"v1\""), vec![Reply::Less(1000), Reply::Body]);
    let mut case = Case::new();
    case.options.size = Some(300_000);
    case.get(&server.url()).unwrap();
    assert_eq!(fs::read(&case.to).unwrap(), body());
    assert_eq!(case.seen.starts[0], Some(300_000));
    assert_eq!(
        case.seen.notes,
        [
            "file.bin: the connection was cut (the server closed the connection); trying again in 1 s"
        ]
    );
}

#[test]
fn a_server_that_never_spoke_is_asked_twice() {
    let server = Server::new(body(), None, vec![Reply::Silence, Reply::Silence]);
    let mut case = Case::new();
    case.options.stall_timeout = Duration::from_millis(50);
    let text = case.get(&server.url()).unwrap_err().to_string();
    assert!(text.contains("silent for 50ms (tried 2 times)"), "{text}");
    assert_eq!(case.waits(), [1]);
}

#[test]
fn the_client_makes_the_requests() {
    let server = Server::new(
        body(),
        Some("\"v1\""),
        vec![Reply::Body, Reply::Cut(7), Reply::Body],
    );
    let mut case = Case::new();
    case.options.client = Arc::new(Named::default());
    let said = describe(&server.url(), &case.options, &mut NoProgress).unwrap();
    assert_eq!(said.header("ETag"), Some("\"v1\""));
    assert_eq!(said.header("x-none"), None);
    case.get(&server.url()).unwrap();
    let requests = server.requests();
    assert!(requests[0].contains("range: bytes=0-0"), "{}", requests[0]);
    assert!(requests[2].contains("range: bytes=7-"), "{}", requests[2]);
    for request in requests {
        assert!(request.contains("x-name: graft"), "{request}");
        assert!(request.contains("accept-encoding: identity"), "{request}");
    }
}

#[test]
fn a_description_says_how_large_a_file_is() {
    // The server knows ranges from the second byte on only; the first answer is the whole file.
    let server = Server::new(body(), None, vec![Reply::Body, Reply::Status(404, "")]);
    let said = describe(&server.url(), &Options::default(), &mut NoProgress).unwrap();
    assert_eq!(
        (said.size(), said.header("content-length")),
        (None, Some("300000"))
    );
    let error = describe(&server.url(), &Options::default(), &mut NoProgress).unwrap_err();
    assert!(
        matches!(error, FetchError::Status { status: 404, .. }),
        "{error}"
    );
    let offline = Options {
        offline: true,
        ..Options::default()
    };
    let error = describe(&server.url(), &offline, &mut NoProgress).unwrap_err();
    assert!(matches!(error, FetchError::Offline { .. }), "{error}");
    assert_eq!(server.requests().len(), 2);
}
