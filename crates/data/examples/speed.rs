//! The input path on one thread: `cargo run --release -p graft-data --example speed -- FOLDER [ROUNDS]`, where FOLDER has
//! `train` and `val` as an image folder.
//!
//! Every round is a first epoch, in which the pictures are decoded, and a later one, in which they are kept. Prints a line of
//! JSON for each with the milliseconds that a picture takes; `scripts/bench_input.py` sets torchvision beside it.

use std::{sync::Arc, time::Instant};

use graft_data::{
    DataFolders, ImageFolderSpec, Loader, LoaderOptions, MemoryBudget, Normalization, OnBadImage,
    PictureCache, SourceSpec, Split, SplitFolders, Step, Transform, TransformSpec, Views, open,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("expected a folder")?;
    let rounds = arguments.next().map_or(Ok(3), |rounds| rounds.parse())?;
    let spec = SourceSpec::ImageFolder(ImageFolderSpec {
        path: std::path::absolute(path)?.display().to_string(),
        url: None,
        splits: SplitFolders {
            train: "train".to_owned(),
            val: "val".to_owned(),
            test: None,
        },
        exif_orientation: false,
        on_bad_image: OnBadImage::Error,
    });
    let folders = DataFolders {
        search: Vec::new(),
        download_into: "data".into(),
        offline: true,
    };
    let source = open(&spec, &folders)?;
    let transform = Transform::new(
        &TransformSpec {
            size: 224,
            train: vec![Step::RandomResizedCrop, Step::HorizontalFlip],
            eval: vec![Step::Resize(256), Step::CenterCrop(None)],
            views: Views::Fresh,
        },
        Normalization {
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        },
    )?;
    for _ in 0..rounds {
        let cache = PictureCache::new(Arc::clone(&source), MemoryBudget::new(4 << 30));
        let options = LoaderOptions {
            batch_size: 4,
            threads: 0,
            look_ahead: 1,
        };
        let loader = Loader::new(Arc::new(cache), transform.clone(), options);
        let mut times = [0.0; 2];
        for (epoch, time) in (1..).zip(&mut times) {
            let start = Instant::now();
            for batch in loader.train_epoch(0, 0, epoch, 0) {
                batch?;
            }
            *time = start.elapsed().as_secs_f64() * 1e3 / source.len(Split::Train) as f64;
        }
        let [first, later] = times;
        println!(
            "{{\"pictures\": {}, \"first_ms_per_image\": {first:.4}, \"later_ms_per_image\": {later:.4}}}",
            source.len(Split::Train)
        );
    }
    Ok(())
}
