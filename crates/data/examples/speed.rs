//! Pictures per second on one thread: `cargo run --release -p graft-data --example speed -- FOLDER`, where FOLDER has
//! `train` and `val` as an image folder.

use std::{sync::Arc, time::Instant};

use graft_data::{
    DataFolders, ImageFolderSpec, Loader, LoaderOptions, MemoryBudget, Normalization, OnBadImage,
    PictureCache, SourceSpec, Split, SplitFolders, Step, Transform, TransformSpec, open,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("expected a folder")?;
    let spec = SourceSpec::ImageFolder(ImageFolderSpec {
        path: std::path::absolute(path)?.display().to_string(),
        url: None,
        splits: SplitFolders {
            train: "train".to_owned(),
            val: "val".to_owned(),
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
        },
        Normalization {
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        },
    )?;
    let n = source.len(Split::Train) as f64;
    for (name, budget) in [("decoded each time", 0), ("kept as bytes", 2 << 30)] {
        let cache = Arc::new(PictureCache::new(
            Arc::clone(&source),
            MemoryBudget::new(budget),
        ));
        let options = LoaderOptions {
            batch_size: 4,
            threads: 0,
            look_ahead: 1,
        };
        let loader = Loader::new(cache, transform.clone(), options);
        for epoch in 0..4 {
            let start = Instant::now();
            for batch in loader.train_epoch(0, 0, epoch, 0) {
                batch?;
            }
            println!(
                "{name}, epoch {epoch}: {:.0} pictures/s",
                n / start.elapsed().as_secs_f64()
            );
        }
    }
    Ok(())
}
