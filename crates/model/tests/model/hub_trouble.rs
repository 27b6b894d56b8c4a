//! What becomes of a download from the hub when something goes wrong: on the way, at the hub, in the cache.

use std::{path::PathBuf, time::Duration};

use graft_model::ModelError;

use crate::{
    fake_hub::{COMMIT, Reply},
    hub::{Case, body, sha256},
};

#[test]
fn a_cut_transfer_is_resumed_now_and_later() {
    let mut case = Case::new();
    // Not even a server that hides that bytes are missing is believed: the hub said how many there are.
    case.hub.script(&[
        Reply::Fine,
        Reply::Cut(300),
        Reply::CutUnnoticed(200),
        Reply::Cut(100),
    ]);
    let path = case.get("hf:owner/net").unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
    let ranges = |case: &Case| -> Vec<Option<String>> {
        let transfers = case.hub.transfers().into_iter();
        transfers.map(|request| request.range).collect()
    };
    let from = |byte: u32| Some(format!("bytes={byte}-"));
    assert_eq!(ranges(&case), [None, from(300), from(500), from(600)]);
    assert_eq!((case.waits(), case.heard.bytes), (vec![1, 2, 4], 1000));
    assert_eq!(case.heard.notes.len(), 3, "{:?}", case.heard.notes);
    assert!(case.heard.notes[0].starts_with("model.safetensors: the connection was cut"));

    let mut case = Case::new();
    case.places.folders.fetch.retries = 0;
    case.hub.script(&[Reply::Fine, Reply::Cut(300)]);
    let message = case.message("hf:owner/net");
    assert!(message.contains("cut after 300 bytes of 1000"), "{message}");
    assert!(
        message.contains("what has arrived is kept and resumed"),
        "{message}"
    );
    assert_eq!(case.complete_files(), [""; 0].map(PathBuf::from));
    let path = case.get("hf:owner/net").unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
    assert_eq!(ranges(&case)[1], from(300));
}

/// What a client that was killed leaves: `hf-hub` appends to a part whatever it gets, and can't finish a complete one.
#[test]
fn parts_of_others_are_finished_or_thrown_away() {
    for (part, reply) in [
        (body(), Reply::Fine),
        (body()[..10].to_vec(), Reply::Fine),
        (body()[..10].to_vec(), Reply::Whole),
        (vec![7; 10], Reply::Fine),
        (vec![7; 1000], Reply::Fine),
        (vec![7; 2000], Reply::Fine),
    ] {
        let mut case = Case::new();
        let blobs = case
            .places
            .folders
            .hub
            .cache
            .join("models--owner--net/blobs");
        std::fs::create_dir_all(&blobs).unwrap();
        std::fs::write(blobs.join(sha256(&body()) + ".part"), part).unwrap();
        case.hub.script(&[Reply::Fine, reply]);
        let path = case.get("hf:owner/net").unwrap();
        assert_eq!(std::fs::read(path).unwrap(), body());
    }
}

#[test]
fn refusals_come_with_advice() {
    for (token, spec, said, advice) in [
        (
            None,
            "hf:owner/gated",
            "answered 401: Access to owner/gated is restricted.",
            "set HF_TOKEN",
        ),
        (
            Some("secret"),
            "hf:owner/gated",
            "answered 403: You are not in",
            "accept its conditions",
        ),
        (
            Some("secret"),
            "hf:owner/missing",
            "answered 404: Entry not found",
            "there is no such repository",
        ),
        (
            None,
            "hf:owner/net/other.safetensors",
            "answered 404",
            "hf:OWNER/REPO/FILE",
        ),
        (
            None,
            "hf:owner/page",
            "it does not answer as a hub does",
            "check HF_ENDPOINT",
        ),
    ] {
        let mut case = Case::new();
        case.places.folders.hub.token = token.map(str::to_owned);
        let error = case.get(spec).unwrap_err();
        assert!(matches!(error, ModelError::Hub { .. }), "{error}");
        let message = error.to_string();
        for part in [said, advice, spec, case.hub.address.as_str()] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert_eq!(message.matches("hint: ").count(), 1, "{message}");
        assert!(!message.contains("secret"), "{message}");
        assert!(!format!("{:?}", case.places.folders).contains("secret"));
        // Asked once: a refusal stays one.
        assert_eq!((case.hub.requests().len(), case.waits()), (1, vec![]));
    }
}

#[test]
fn busy_and_broken_servers_are_asked_again() {
    let mut case = Case::new();
    case.hub.script(&[
        Reply::Status(429, "Retry-After: 7\r\n"),
        Reply::Status(500, ""),
        Reply::Fine,
        Reply::Status(503, ""),
        Reply::Status(429, "Retry-After: 9\r\n"),
    ]);
    let path = case.get("hf:owner/net").unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
    assert_eq!(case.waits(), [7, 2, 1, 9]);
    assert_eq!(
        case.heard.notes[0],
        "model.safetensors: the server answered 429; trying again in 7 s"
    );

    let mut case = Case::new();
    case.hub.script(&[Reply::Status(500, ""); 5]);
    let message = case.message("hf:owner/net");
    assert!(
        message.contains("answered 500 (tried 5 times)"),
        "{message}"
    );
    assert!(message.contains("try again later"), "{message}");
    case.hub
        .script(&[Reply::Status(429, "Retry-After: 4000\r\n")]);
    let message = case.message("hf:owner/net");
    assert!(
        message.contains("answered 429\n") && message.contains("wait a few minutes"),
        "{message}"
    );
}

/// Before the question is answered, and in the middle of the transfer.
#[test]
fn silence_ends_with_a_message() {
    for script in [
        &[Reply::Silence, Reply::Silence][..],
        &[Reply::Fine, Reply::Silence, Reply::Silence],
    ] {
        let mut case = Case::new();
        case.hub.script(script);
        let patient = case.places.folders.fetch.clone();
        case.places.folders.fetch.stall_timeout = Duration::from_millis(300);
        let message = case.message("hf:owner/net");
        assert!(
            message.contains("was silent for 300ms (tried 2 times)"),
            "{message}"
        );
        assert!(
            message.contains(&case.hub.address) && message.contains("HF_ENDPOINT"),
            "{message}"
        );
        // The next time it is there again.
        case.places.folders.fetch = patient;
        assert_eq!(
            std::fs::read(case.get("hf:owner/net").unwrap()).unwrap(),
            body()
        );
    }
}

#[test]
fn without_a_server_the_message_says_where_it_was_looked_for() {
    let mut case = Case::new();
    case.places.folders.hub.endpoint = "http://127.0.0.1:9".into();
    let message = case.message("hf:owner/net");
    assert!(message.contains("no connection to the server"), "{message}");
    assert!(
        message.contains("http://127.0.0.1:9") && message.contains("--weights-dir"),
        "{message}"
    );
    case.places.folders.hub.endpoint = "nonsense".into();
    assert!(case.message("hf:owner/net").contains("hint: expected http"));
}

/// Truncated, changed, emptied: fetched again, from the commit that it was, and offline an error.
#[test]
fn damaged_files_in_the_cache_are_fetched_again() {
    let mut flipped = body();
    flipped[500] ^= 1;
    for damaged in [&flipped[..], &body()[..999], b""] {
        let mut case = Case::new();
        let path = case.get("hf:owner/lfs").unwrap();
        let blob = path.canonicalize().unwrap();
        // A fresh process would find it like this: nothing is known of the new file.
        std::fs::remove_file(&blob).unwrap();
        std::fs::write(&blob, damaged).unwrap();
        let later = std::time::SystemTime::now() + Duration::from_secs(3);
        std::fs::File::open(&blob)
            .unwrap()
            .set_modified(later)
            .unwrap();

        case.places.folders.offline = true;
        let message = case.message("hf:owner/lfs");
        for part in [
            "are damaged: ",
            &sha256(damaged),
            &sha256(&body()),
            "run once without it",
            "curl -fL",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
        assert!(message.contains(&path.display().to_string()), "{message}");
        assert!(blob.exists(), "nothing is deleted without a replacement");

        case.places.folders.offline = false;
        assert_eq!(case.get("hf:owner/lfs").unwrap(), path);
        assert_eq!(std::fs::read(&path).unwrap(), body());
        assert!(case.heard.notes[0].contains("is damaged and is fetched again"));
        let last = case
            .hub
            .requests()
            .into_iter()
            .rev()
            .find(|request| !request.elsewhere);
        assert_eq!(
            last.unwrap().path,
            format!("/owner/lfs/resolve/{COMMIT}/model.safetensors")
        );
    }
}

/// A link whose file is gone, as a cleaned cache has it.
#[test]
fn a_link_to_nothing_is_mended() {
    let mut case = Case::new();
    let path = case.get("hf:owner/net").unwrap();
    std::fs::remove_file(path.canonicalize().unwrap()).unwrap();
    assert_eq!(case.get("hf:owner/net").unwrap(), path);
    assert_eq!(std::fs::read(&path).unwrap(), body());
    assert_eq!(case.hub.transfers().len(), 2);
}

/// Small files have no SHA-256 on the hub: their size is checked.
#[test]
fn files_without_a_hash_are_complete_too() {
    let mut case = Case::with(&body(), "5f36b2ea290645ee34d943220a14b54ee5ea5be5");
    case.hub.script(&[Reply::Fine, Reply::CutUnnoticed(999)]);
    let path = case.get("hf:owner/net").unwrap();
    assert_eq!(std::fs::read(path).unwrap(), body());
    // The part was of this very version, which the server says too.
    assert_eq!(case.hub.transfers()[1].range.as_deref(), Some("bytes=999-"));
}
