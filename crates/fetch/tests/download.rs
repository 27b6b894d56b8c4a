//! Downloads from a small server on the loopback interface.

mod server;

use std::{fs, net::TcpListener, time::Duration};

use graft_fetch::FetchError;
use server::{Case, Reply, Server, body, files};

#[test]
fn a_file_arrives_whole_and_alone() {
    let server = Server::new(body(), Some("\"v1\""), vec![Reply::Body]);
    let mut case = Case::new();
    case.get(&server.url()).unwrap();
    assert_eq!(fs::read(&case.to).unwrap(), body());
    assert_eq!(files(case.to.parent().unwrap()), ["file.bin"]);
    assert_eq!(case.seen.starts, [Some(300_000)]);
    assert_eq!((case.seen.bytes, case.seen.finished), (300_000, 1));
}

#[test]
fn a_cut_connection_is_resumed() {
    let script = vec![Reply::Cut(100_000), Reply::Cut(50_000), Reply::Body];
    let server = Server::new(body(), Some("\"v1\""), script);
    let mut case = Case::new();
    case.get(&server.url()).unwrap();
    assert_eq!(fs::read(&case.to).unwrap(), body());
    assert_eq!(case.waits(), [1, 2]);
    assert_eq!(case.seen.bytes, 300_000);
    let requests = server.requests();
    assert!(!requests[0].contains("range:"));
    assert!(
        requests[1].contains("range: bytes=100000-"),
        "{}",
        requests[1]
    );
    assert!(requests[1].contains("if-range: \"v1\""));
    assert!(requests[2].contains("range: bytes=150000-"));
}

#[test]
fn a_later_call_resumes_what_an_earlier_one_left() {
    let script = vec![Reply::Cut(100_000), Reply::Body];
    let server = Server::new(body(), Some("\"v1\""), script);
    let mut case = Case::new();
    case.options.retries = 0;
    let error = case.get(&server.url()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("cut after 100000 bytes of 300000"), "{text}");
    assert!(text.contains("resumed"), "{text}");
    assert!(!case.to.exists() && case.part().exists());
    case.get(&server.url()).unwrap();
    assert_eq!(fs::read(&case.to).unwrap(), body());
    assert!(server.requests()[1].contains("range: bytes=100000-"));
}

#[test]
fn a_part_of_another_version_is_not_continued() {
    let old = Server::new(vec![7; 300_000], Some("\"v0\""), vec![Reply::Cut(1000)]);
    let mut case = Case::new();
    case.options.retries = 0;
    case.get(&old.url()).unwrap_err();
    // The same address now has another file.
    let note = case.to.with_file_name("file.bin.part.from");
    let server = Server::new(body(), Some("\"v1\""), vec![Reply::Body]);
    fs::write(&note, format!("{}\n\"v0\"\n", server.url())).unwrap();
    case.get(&server.url()).unwrap();
    assert!(server.requests()[0].contains("if-range: \"v0\""));
    assert_eq!(fs::read(&case.to).unwrap(), body());
}

#[test]
fn a_part_from_another_address_is_not_continued() {
    let server = Server::new(body(), Some("\"v1\""), vec![Reply::Body]);
    let mut case = Case::new();
    fs::create_dir_all(case.to.parent().unwrap()).unwrap();
    fs::write(case.part(), "something").unwrap();
    case.get(&server.url()).unwrap();
    assert!(!server.requests()[0].contains("range:"));
    assert_eq!(fs::read(&case.to).unwrap(), body());
}

#[test]
fn a_server_that_ignores_ranges_starts_over() {
    let script = vec![Reply::Cut(100_000), Reply::IgnoreRange];
    let server = Server::new(body(), Some("\"v1\""), script);
    let mut case = Case::new();
    case.get(&server.url()).unwrap();
    assert_eq!(fs::read(&case.to).unwrap(), body());
    assert_eq!(case.seen.starts.len(), 2);
    assert_eq!(case.seen.bytes, 300_000);
}

#[test]
fn a_server_without_versions_starts_over() {
    let server = Server::new(body(), None, vec![Reply::Cut(100_000), Reply::Body]);
    let mut case = Case::new();
    case.get(&server.url()).unwrap();
    assert!(!server.requests()[1].contains("range:"));
    assert_eq!(fs::read(&case.to).unwrap(), body());
}

#[test]
fn a_complete_part_needs_no_transfer() {
    let server = Server::new(body(), Some("\"v1\""), vec![Reply::Body]);
    let mut case = Case::new();
    fs::create_dir_all(case.to.parent().unwrap()).unwrap();
    fs::write(case.part(), body()).unwrap();
    let note = case.to.with_file_name("file.bin.part.from");
    fs::write(note, format!("{}\n\"v1\"\n", server.url())).unwrap();
    case.get(&server.url()).unwrap();
    assert!(server.requests()[0].contains("range: bytes=300000-"));
    assert_eq!(fs::read(&case.to).unwrap(), body());
}

#[test]
fn an_answer_without_length_is_taken_to_its_end() {
    let server = Server::new(body(), None, vec![Reply::NoLength]);
    let mut case = Case::new();
    case.get(&server.url()).unwrap();
    assert_eq!(fs::read(&case.to).unwrap(), body());
    assert_eq!(case.seen.starts, [None]);
}

#[test]
fn busy_servers_are_asked_again_and_then_named() {
    let script = vec![
        Reply::Status(503, ""),
        Reply::Status(429, "Retry-After: 7\r\n"),
        Reply::Body,
    ];
    let server = Server::new(body(), None, script);
    let mut case = Case::new();
    case.get(&server.url()).unwrap();
    assert_eq!(case.waits(), [1, 7]);

    let server = Server::new(body(), None, vec![Reply::Status(500, ""); 5]);
    let mut case = Case::new();
    let text = case.get(&server.url()).unwrap_err().to_string();
    assert!(text.contains("answered 500 (tried 5 times)"), "{text}");
    assert_eq!(case.waits(), [1, 2, 4, 8]);
    assert_eq!(files(case.to.parent().unwrap()), [""; 0]);

    let server = Server::new(
        body(),
        None,
        vec![Reply::Status(429, "Retry-After: 3600\r\n")],
    );
    let mut case = Case::new();
    let text = case.get(&server.url()).unwrap_err().to_string();
    assert!(text.contains("429") && text.contains("wait"), "{text}");
}

#[test]
fn refusals_are_final_and_say_what_to_do() {
    for (status, hint) in [(401, "login"), (403, "permission"), (404, "no such file")] {
        let server = Server::new(body(), None, vec![Reply::Status(status, "")]);
        let mut case = Case::new();
        let text = case.get(&server.url()).unwrap_err().to_string();
        assert!(text.contains(&format!("answered {status}\n")), "{text}");
        assert!(
            text.contains(hint) && text.contains(&server.url()),
            "{text}"
        );
        assert_eq!(case.waits(), [0; 0]);
    }
}

#[test]
fn silence_is_a_timeout() {
    let server = Server::new(body(), None, vec![Reply::Silence]);
    let mut case = Case::new();
    case.options.stall_timeout = Duration::from_millis(50);
    case.options.retries = 0;
    let error = case.get(&server.url()).unwrap_err();
    assert!(matches!(error, FetchError::Timeout { .. }), "{error}");
}

#[test]
fn no_server_offline_and_bad_addresses_are_told_apart() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/file.bin", free.local_addr().unwrap());
    drop(free);
    let mut case = Case::new();
    let error = case.get(&url).unwrap_err();
    assert!(
        matches!(error, FetchError::Connection { tries: 1, .. }),
        "{error}"
    );
    case.options.offline = true;
    let text = case.get(&url).unwrap_err().to_string();
    assert!(
        text.contains("curl -L -o") && text.contains("--offline"),
        "{text}"
    );
    case.options.offline = false;
    for bad in ["ftp://example.org/x", "no address", "/file.bin", "http://"] {
        let error = case.get(bad).unwrap_err();
        assert!(
            matches!(error, FetchError::Address { .. }),
            "{bad}: {error}"
        );
    }
}

#[test]
fn hashes_are_checked() {
    let right = {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("x"), body()).unwrap();
        graft_fetch::file_sha256(&folder.path().join("x")).unwrap()
    };
    let server = Server::new(body(), None, vec![Reply::Body, Reply::Body]);
    let mut case = Case::new();
    case.options.sha256 = Some(right[..8].parse().unwrap());
    case.get(&server.url()).unwrap();
    assert_eq!(fs::read(&case.to).unwrap(), body());

    let mut case = Case::new();
    case.options.sha256 = Some("0123456789".parse().unwrap());
    let text = case.get(&server.url()).unwrap_err().to_string();
    assert!(
        text.contains(&right) && text.contains("expected 0123456789"),
        "{text}"
    );
    assert_eq!(files(case.to.parent().unwrap()), [""; 0]);

    // A damaged part of the right length is found by its hash and fetched again from nothing.
    let server = Server::new(body(), Some("\"v1\""), vec![Reply::Body, Reply::Body]);
    let mut case = Case::new();
    case.options.sha256 = Some(right.parse().unwrap());
    fs::create_dir_all(case.to.parent().unwrap()).unwrap();
    fs::write(case.part(), vec![1; 1000]).unwrap();
    case.get(&server.url()).unwrap();
    assert_eq!(fs::read(&case.to).unwrap(), body());
}

#[test]
fn large_files_are_refused() {
    for reply in [Reply::Body, Reply::NoLength] {
        let server = Server::new(body(), None, vec![reply]);
        let mut case = Case::new();
        case.options.max_bytes = 200_000;
        let error = case.get(&server.url()).unwrap_err();
        assert!(matches!(error, FetchError::TooLarge { .. }), "{error}");
        assert_eq!(files(case.to.parent().unwrap()), [""; 0]);
    }
}

#[test]
fn an_existing_file_is_replaced_only_by_a_complete_one() {
    let server = Server::new(body(), None, vec![Reply::Cut(10), Reply::Body]);
    let mut case = Case::new();
    fs::create_dir_all(case.to.parent().unwrap()).unwrap();
    fs::write(&case.to, "old").unwrap();
    case.options.retries = 0;
    case.get(&server.url()).unwrap_err();
    assert_eq!(fs::read(&case.to).unwrap(), b"old");
    case.get(&server.url()).unwrap();
    assert_eq!(fs::read(&case.to).unwrap(), body());
}
