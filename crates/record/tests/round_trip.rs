//! Whatever is written reads back as it was, to the last bit.

use graft_record::{
    EpochRow, PredictionRow, Predictions, TimingRow, TrialFolder, format_float, parse_float,
    read_table, write_table,
};
use proptest::prelude::*;

/// Any float, with every NaN the same one: a CSV file does not keep its payload.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        -1.0..1.0f64,
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(-0.0)
    ]
    .prop_map(|x| if x.is_nan() { f64::NAN } else { x })
}

fn same(a: &[f64], b: &[f64]) -> bool {
    a.iter()
        .map(|x| x.to_bits())
        .eq(b.iter().map(|x| x.to_bits()))
}

proptest! {
    #[test]
    fn floats(x in number()) {
        prop_assert_eq!(parse_float(&format_float(x)).unwrap().to_bits(), x.to_bits());
    }

    #[test]
    fn epochs(numbers in prop::collection::vec((0u64..1000, prop::array::uniform5(number())), 0..20)) {
        let mut step = 0;
        let rows: Vec<EpochRow> = numbers
            .iter()
            .zip(1..)
            .map(|((steps, [train_loss, train_accuracy, val_loss, val_accuracy, lr]), epoch)| {
                step += steps;
                EpochRow {
                    epoch, step,
                    train_loss: *train_loss, train_accuracy: *train_accuracy,
                    val_loss: *val_loss, val_accuracy: *val_accuracy, lr: *lr,
                }
            })
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let trial = TrialFolder::new(folder.path());
        trial.write_epochs(&rows).unwrap();
        let read = trial.epochs().unwrap();
        prop_assert_eq!(read.len(), rows.len());
        for (a, b) in read.iter().zip(&rows) {
            prop_assert_eq!((a.epoch, a.step), (b.epoch, b.step));
            let numbers = |r: &EpochRow| [r.train_loss, r.train_accuracy, r.val_loss, r.val_accuracy, r.lr];
            prop_assert!(same(&numbers(a), &numbers(b)));
        }
    }

    #[test]
    fn timing(numbers in prop::collection::vec((0.0..1e6f64, 0.0..1e9f64), 0..20)) {
        let rows: Vec<TimingRow> = numbers
            .iter()
            .zip(1..)
            .map(|(&(seconds, images_per_second), epoch)| TimingRow { epoch, seconds, images_per_second })
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("timing.csv");
        write_table(&path, &rows).unwrap();
        prop_assert_eq!(read_table::<TimingRow>(&path).unwrap(), rows);
    }

    #[test]
    fn predictions(rows in prop::collection::vec((any::<String>(), any::<u32>(), any::<u32>(), 0.0..1.0f64), 0..20)) {
        let rows: Vec<PredictionRow> = rows
            .into_iter()
            .enumerate()
            .map(|(index, (file, label, predicted, probability))| PredictionRow {
                index: index * 3, file, label, predicted, probability,
            })
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let trial = TrialFolder::new(folder.path());
        trial.write_predictions(&Predictions::Classes(rows.clone())).unwrap();
        prop_assert_eq!(trial.predictions().unwrap(), rows);
    }
}
