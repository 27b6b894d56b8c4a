//! What a server says of a file before it sends it.

use ureq::http::{Response, Uri, header::HeaderMap};

use crate::{
    FetchError, Options, Progress,
    request::{self, Wanted},
    tries::Tries,
};

/// Redirects that are followed.
const MOST_REDIRECTS: usize = 10;

/// What a server says of a file: the headers of its answers.
#[derive(Clone, Debug)]
pub struct Description {
    /// Those of the redirects within the server come before those of the last answer.
    answers: Vec<HeaderMap>,
}

impl Description {
    /// A header, from the last of the answers that has it.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.answers
            .iter()
            .rev()
            .find_map(|headers| request::header(headers, name))
    }

    /// The size of the file in bytes, where a range of it was answered.
    pub fn size(&self) -> Option<u64> {
        self.answers
            .last()
            .and_then(request::content_range)
            .and_then(|(_, total)| total)
    }
}

/// Asks for the first byte of `url` to learn what the server says of it. Redirects are followed within the server; one
/// to another server ends the description, because what that one says is of no interest, and what is told to this one
/// (such as a token) is none of its business.
pub fn describe(
    url: &str,
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<Description, FetchError> {
    if options.offline {
        return Err(FetchError::Offline {
            url: url.to_owned(),
            to: None,
        });
    }
    let mut uri = request::address(url)?;
    let name = options.name.as_deref().unwrap_or(url);
    let mut answers = Vec::new();
    while answers.len() <= MOST_REDIRECTS {
        let here = uri.to_string();
        let response = ask(&here, name, options, progress)?;
        let next = redirect(&uri, &response).map_err(|reason| answer_error(url, reason))?;
        answers.push(response.into_parts().0.headers);
        match next {
            Some(next) if same_server(&uri, &next) => uri = next,
            _ => return Ok(Description { answers }),
        }
    }
    Err(answer_error(url, "it redirects again and again".to_owned()))
}

/// One answer, of several tries if need be.
fn ask(
    url: &str,
    name: &str,
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<Response<ureq::Body>, FetchError> {
    let mut tries = Tries::new(options, name);
    loop {
        tries.made += 1;
        match request::ask(url, &Wanted::Description, options) {
            Ok(response) => return Ok(response),
            Err(failure) => {
                if !tries.again(&failure, false, progress) {
                    return Err(failure.into_error(url, tries.made, (0, None)));
                }
            }
        }
    }
}

/// Where an answer sends on to, if it does.
fn redirect<T>(from: &Uri, response: &Response<T>) -> Result<Option<Uri>, String> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = request::header(response.headers(), "location")
        .ok_or_else(|| "it redirects without saying where to".to_owned())?;
    let whole = absolute(from, location);
    let next = whole
        .parse::<Uri>()
        .map_err(|error| format!("it redirects to `{location}`: {error}"))?;
    Ok(Some(next))
}

/// The address that `location` is, seen from `from`.
fn absolute(from: &Uri, location: &str) -> String {
    let scheme = from.scheme_str().unwrap_or("https");
    let server = from.authority().map_or("", |authority| authority.as_str());
    let (folder, _) = from.path().rsplit_once('/').unwrap_or_default();
    let has_scheme = location
        .split(['/', '?'])
        .next()
        .is_some_and(|start| start.ends_with(':'));
    if has_scheme {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{server}{location}")
    } else {
        format!("{scheme}://{server}{folder}/{location}")
    }
}

fn same_server(a: &Uri, b: &Uri) -> bool {
    a.scheme() == b.scheme() && a.authority() == b.authority()
}

fn answer_error(url: &str, reason: String) -> FetchError {
    FetchError::Answer {
        url: url.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_may_be_relative() {
        let from: Uri = "https://host:8/a/b?c=d".parse().unwrap();
        for (location, expected) in [
            ("https://other/x", "https://other/x"),
            ("//other/x?y=1", "https://other/x?y=1"),
            ("/x/y?back=http://z", "https://host:8/x/y?back=http://z"),
            ("x?back=http://z", "https://host:8/a/x?back=http://z"),
        ] {
            assert_eq!(absolute(&from, location), expected);
        }
        let here = |location| same_server(&from, &absolute(&from, location).parse().unwrap());
        assert!(here("/x") && here("https://HOST:8/"));
        assert!(!here("//other/x") && !here("http://host:8/a") && !here("https://host/a"));
    }
}
