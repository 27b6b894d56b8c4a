//! How often an experiment repeats its trials, and what is wrong with what is written about that.

mod experiment_support;

use experiment_support::{GOOD, Session, plan};
use graft_runner::experiment::Until;

fn repeats(value: &str) -> Session {
    Session::with(&GOOD.replace("repeats = 2", &format!("repeats = {value}")))
}

#[test]
fn a_number_or_what_the_results_have_to_be() {
    assert_eq!(repeats("3").load().until, None);
    for text in ["interval < 0.02", "interval<2e-2", "  interval  <  .02  "] {
        let text = text.replace(" .02", " 0.02");
        let session = repeats(&format!("{{ min = 3, max = 5, until = {text:?} }}"));
        let experiment = session.load();
        let until = Until {
            min: 3,
            interval: 0.02,
        };
        assert_eq!((experiment.repeats, experiment.until), (5, Some(until)));
        let again = Session::with(experiment.to_toml()).load();
        assert_eq!(again, experiment, "{}", experiment.to_toml());
    }
    let set = repeats("{ min = 3, max = 5, until = \"interval < 0.02\" }")
        .set("repeats.max=9")
        .load();
    assert_eq!((set.repeats, set.until.unwrap().min), (9, 3));
}

#[test]
fn trials_are_those_of_a_fixed_number_of_repeats() {
    let fixed = plan(&repeats("5").load());
    let adaptive = plan(&repeats("{ min = 3, max = 5, until = \"interval < 0.02\" }").load());
    assert_eq!(adaptive, fixed);
}

#[test]
fn what_is_wrong_with_repeats_is_said() {
    let width = "how narrow the interval of the mean is to be, such as \"interval < 0.01\"";
    for (value, message) in [
        ("0", "repeats: expected a whole number from 1 to 10000, found 0".to_owned()),
        ("\"many\"", "repeats: expected a whole number from 1 to 10000, found \"many\"".to_owned()),
        (
            "{ min = 1, max = 5, until = \"interval < 0.1\" }",
            "repeats.min: expected a whole number from 2 to 10000, found 1".to_owned(),
        ),
        (
            "{ min = 6, max = 5, until = \"interval < 0.1\" }",
            "repeats.max: expected at least `min`, 6, found 5".to_owned(),
        ),
        (
            "{ min = 3, max = 5 }",
            format!("repeats.until: missing; expected {width}"),
        ),
        (
            "{ max = 5, until = \"interval < 0.1\" }",
            "repeats.min: missing; expected a whole number from 2 to 10000".to_owned(),
        ),
        (
            "{ min = 3, max = 5, until = 0.1 }",
            format!("repeats.until: expected {width}, found 0.1"),
        ),
        (
            "{ min = 3, max = 5, until = \"interval > 0.1\" }",
            format!("repeats.until: expected {width}, found \"interval > 0.1\""),
        ),
        (
            "{ min = 3, max = 5, until = \"interval < 0\" }",
            "repeats.until: expected an interval of accuracies above 0, at most 1, found \"interval < 0\"".to_owned(),
        ),
        (
            "{ min = 3, max = 5, until = \"interval < 5\" }",
            "repeats.until: expected an interval of accuracies above 0, at most 1, found \"interval < 5\"".to_owned(),
        ),
        (
            "{ min = 3, max = 5, untill = \"interval < 0.1\", until = \"interval < 0.1\" }",
            "repeats.untill: unknown key; did you mean `until`?".to_owned(),
        ),
    ] {
        let expected = format!("error: x.toml:2: {message}\n1 problem; nothing was run");
        assert_eq!(repeats(value).errors(), expected);
    }
}
