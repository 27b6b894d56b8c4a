//! `graft weights`: what is needed, what is there, and getting the rest, from a hub on this machine.

mod desk;
#[path = "../../model/tests/model/fake_hub.rs"]
mod fake_hub;

use desk::{Desk, Finished, TINY};
use fake_hub::{FakeHub, Reply};

/// A safetensors file with one number in it.
fn weights(number: f32) -> Vec<u8> {
    let header = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &number.to_le_bytes()].concat()
}

/// A desk with `NAME.toml`, whose second variant starts from `weights`.
fn experiment(desk: &Desk, name: &str, weights: &str) {
    let text = TINY
        .replace("name = \"tiny\"", &format!("name = \"{name}\""))
        .replace(
            "hidden = 8,",
            &format!("hidden = 8, weights = \"{weights}\","),
        );
    desk.write(&format!("{name}.toml"), text);
}

struct Case {
    desk: Desk,
    hub: FakeHub,
}

impl Case {
    fn new() -> Self {
        let desk = Desk::new();
        desk.write("hashed", weights(1.0));
        let etag = graft_fetch::file_sha256(&desk.path("hashed")).unwrap();
        let hub = FakeHub::start(&weights(1.0), &etag);
        experiment(&desk, "one", "hf:owner/lfs@v1");
        Self { desk, hub }
    }

    /// `graft` with the hub of this case.
    fn graft(&self, arguments: &str) -> Finished {
        let mut command = self.desk.command(arguments);
        command
            .env_remove("HF_HUB_OFFLINE")
            .env("HF_ENDPOINT", &self.hub.address)
            .env("HF_TOKEN", "secret");
        command.output().unwrap().into()
    }
}

#[test]
fn missing_weights_are_fetched_once() {
    let case = Case::new();
    let first = case.graft("weights one.toml").code(0);
    let lines: Vec<&str> = first.stdout.lines().collect();
    assert_eq!(lines[0], "state            size  fingerprint   weights");
    let fingerprint = blake3::hash(&weights(1.0)).to_hex();
    assert_eq!(
        lines[1],
        format!(
            "fetched          66 B  {}  hf:owner/lfs@v1",
            &fingerprint[..12]
        )
    );
    assert!(lines[2].ends_with("/model.safetensors"), "{}", lines[2]);
    assert_eq!(std::fs::read(lines[2].trim()).unwrap(), weights(1.0));
    assert_eq!(lines.len(), 3);
    assert_eq!(first.stderr, "fetching model.safetensors (66 B)\n");
    assert!(case.hub.requests().iter().all(|request| {
        request.elsewhere != (request.token.as_deref() == Some("Bearer secret"))
    }));

    let requests = case.hub.requests().len();
    for arguments in [
        "weights one.toml",
        "weights one.toml --offline",
        "weights one.toml --check",
    ] {
        let again = case.graft(arguments).code(0);
        assert_eq!(again.stdout, first.stdout.replace("fetched", "there  "));
        assert_eq!(again.stderr, "");
    }
    assert_eq!(case.hub.requests().len(), requests);
    // A dry run finds them there, and finds out what a sweep would: they are no network's weights.
    let dry = case.graft("sweep one.toml --dry-run").code(2);
    let wrong = "model.safetensors do not fit convnet: 0 tensors loaded; 6 missing";
    assert!(dry.stderr.contains(wrong), "{}", dry.stderr);
}

#[test]
fn a_dry_run_fetches_nothing_and_says_what_is_missing() {
    let case = Case::new();
    let look = case.graft("weights one.toml --dry-run").code(1);
    assert_eq!(
        look.stdout,
        "state            size  fingerprint   weights\nmissing             -  -             hf:owner/lfs@v1\n"
    );
    look.stderr_has(
        "error: 1 of 1 weight files can't be used yet\n  the weights hf:owner/lfs@v1 are missing",
    )
    .stderr_has("without --dry-run")
    .stderr_lacks("the network is forbidden");
    case.graft("weights one.toml --offline")
        .code(1)
        .stderr_has("the network is forbidden")
        .stderr_has("curl -fL");
    assert!(case.hub.requests().is_empty());
}

#[test]
fn what_can_not_be_got_does_not_keep_the_rest() {
    let case = Case::new();
    experiment(&case.desk, "two", "hf:owner/none-such");
    experiment(&case.desk, "three", "hf:owner/lfs@v1");
    let got = case.graft("weights two.toml one.toml three.toml").code(1);
    let lines: Vec<&str> = got.stdout.lines().collect();
    assert!(
        lines[1].starts_with("missing") && lines[1].ends_with("hf:owner/none-such"),
        "{}",
        got.stdout
    );
    assert_eq!(lines[2], "  for two");
    assert!(lines[3].starts_with("fetched"), "{}", got.stdout);
    assert_eq!(lines[5..], ["  for one, three"]);
    got.stderr_has("error: failed to fetch the weights hf:owner/none-such")
        .stderr_has("answered 404: Entry not found")
        .stderr_has("hint: there is no such repository");
}

#[test]
fn damaged_weights_are_fetched_again_and_notes_say_why() {
    let case = Case::new();
    let first = case.graft("weights one.toml").code(0);
    let path = first.stdout.lines().nth(2).unwrap().trim();
    std::fs::write(path, weights(2.0)).unwrap();
    case.graft("weights one.toml --offline")
        .code(1)
        .stdout_has("damaged")
        .stderr_has("the weights hf:owner/lfs@v1 are damaged: ")
        .stderr_has("run once without it");
    case.hub.script(&[Reply::Status(503, "")]);
    let again = case.graft("weights one.toml").code(0);
    assert_eq!(again.stdout, first.stdout);
    again
        .stderr_has("note: ")
        .stderr_has("model.safetensors is damaged and is fetched again\n")
        .stderr_has("note: model.safetensors: the server answered 503; trying again in 1 s\n");
    assert_eq!(std::fs::read(path).unwrap(), weights(1.0));
}

#[test]
fn files_in_folders_are_listed_as_they_are() {
    let desk = Desk::new();
    desk.write("mine/good.safetensors", weights(1.0));
    desk.write("mine/bad.safetensors", &weights(1.0)[..30]);
    desk.write("mine/net-01234567.pth", weights(1.0));
    let url = "https://127.0.0.1:9/a/path/that/is/rather/long/for/a/column/net-01234567.pth";
    experiment(&desk, "good", "file:good.safetensors");
    experiment(&desk, "bad", "file:bad.safetensors");
    experiment(&desk, "url", url);
    let good = desk.graft("weights good.toml --weights-dir mine").code(0);
    good.stdout_has("there ")
        .stdout_has("\n  mine/good.safetensors\n");
    desk.graft("weights bad.toml --weights-dir mine")
        .code(1)
        .stdout_has(
            "damaged             -  -             file:bad.safetensors\n  mine/bad.safetensors\n",
        )
        .stderr_has("can't be used as a weight file");
    let noted = desk.graft("weights url.toml --weights-dir mine").code(0);
    assert!(
        noted.stdout.lines().all(|line| line.chars().count() <= 80),
        "{}",
        noted.stdout
    );
    noted.stdout_has("  note: its SHA-256 begins with ");
}

#[test]
fn one_of_the_weights_known_for_a_network_is_enough() {
    let desk = Desk::new();
    desk.write("mine/resnet18-f37072fd.safetensors", weights(1.0));
    let listed = desk
        .graft("weights --model resnet18 --weights-dir mine")
        .code(0);
    listed
        .stdout_has("there ")
        .stdout_has("mine/resnet18-f37072fd.safetensors")
        .stdout_has("not here            -  -             hf:timm/resnet18.tv_in1k\n");
    desk.graft("weights --model resnet18")
        .code(1)
        .stderr_has("hf:timm/resnet18.tv_in1k are missing");
    desk.graft("weights --model convnet")
        .code(0)
        .stdout_has("no weights are known or needed for convnet");
    desk.graft("weights --model resnet81")
        .code(2)
        .stderr_has("did you mean `resnet18`?");
}

#[test]
fn bad_experiments_end_with_code_2() {
    let desk = Desk::new();
    experiment(&desk, "one", "hf:nonsense");
    experiment(&desk, "two", "ftp://x");
    desk.graft("weights one.toml two.toml")
        .code(2)
        .stderr_has("one.toml:")
        .stderr_has("two.toml:");
    desk.graft("weights").code(2).stderr_has("<EXPERIMENT>");
    desk.graft("weights gone.toml")
        .code(2)
        .stderr_has("gone.toml");
    // No weights at all.
    desk.write("tiny.toml", TINY);
    desk.graft("weights tiny.toml")
        .code(0)
        .stdout_has("no weights are known or needed for tiny\n");
}
