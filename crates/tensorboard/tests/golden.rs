//! The bytes are those that TensorBoard's own messages and writer make of the same events
//! (`scripts/golden_tensorboard.py`).

use graft_tensorboard::{Event, Histogram, Value, read_frames};

const GOLDEN: &[u8] = include_bytes!("golden/events.tfevents");

fn events() -> Vec<Event> {
    let event = |wall_time, step, values| Event {
        wall_time,
        step,
        values,
    };
    let scalar = |tag: &str, value| Value::Scalar(tag.to_owned(), value);
    let values: Vec<f32> = (0..50_u8)
        .map(|i| f32::from(i.wrapping_mul(i)) / 64.0 - 3.0)
        .collect();
    let histogram = Histogram::of(&values).unwrap();
    vec![
        Event::version(),
        event(
            0.0,
            0,
            vec![Value::Text(
                "recipe".into(),
                "# größer\n\n`lr` = 0.1".into(),
            )],
        ),
        event(
            0.0,
            0,
            vec![Value::Picture {
                tag: "pictures/0".into(),
                width: 3,
                height: 200,
                png: b"no real picture".to_vec(),
            }],
        ),
        event(1.5, 1, vec![scalar("loss/train", 0.1), scalar("lr", 0.0)]),
        event(
            1.5,
            1,
            vec![Value::Histogram("conv.weight".into(), histogram.clone())],
        ),
        event(1e9 + 0.25, 300, vec![scalar("loss/train", -1e-30)]),
        event(
            1e9 + 0.25,
            300,
            vec![Value::Histogram("b".into(), Histogram::of(&[0.0]).unwrap())],
        ),
    ]
}

#[test]
fn events_have_the_bytes_of_tensorboards_own() {
    let mut bytes = Vec::new();
    for event in events() {
        event.write(&mut bytes);
    }
    let first = bytes.iter().zip(GOLDEN).position(|(a, b)| a != b);
    assert_eq!((first, bytes.len()), (None, GOLDEN.len()));
}

#[test]
fn histograms_are_found_again() {
    let steps: Vec<_> = read_frames(GOLDEN).map(Event::step_of_histograms).collect();
    assert_eq!(steps, [None, None, None, None, Some(1), None, Some(300)]);
}
