//! Draws sheets of generated pictures: `cargo run --release -p graft-data --example draw -- FOLDER`.
//!
//! Writes a sheet for each task, such as `source.png`, one class per row, at the side given by the second argument (default 48), and, with a third
//! argument, the raw pixels of all tasks (`source-train.rgb` and so on: pictures one after another, label = number
//! modulo classes) to try networks on.

use std::{fs, path::PathBuf};

use graft_data::{Generated, GeneratedSpec, GeneratedTask, Source, Split};

/// Pictures of each class in a sheet.
const COLUMNS: usize = 16;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("expected a folder")?);
    let side: u32 = arguments.next().map_or(Ok(48), |side| side.parse())?;
    let raw = arguments.next().is_some();
    fs::create_dir_all(&folder)?;
    for (name, task, train, val) in [
        ("source", GeneratedTask::Source, 4000, 500),
        ("target", GeneratedTask::Target, 60, 300),
        (
            "night-brightness",
            GeneratedTask::NightBrightness,
            4000,
            500,
        ),
        ("poverty", GeneratedTask::Poverty, 60, 300),
    ] {
        let source = Generated::new(&GeneratedSpec {
            task,
            side,
            train,
            val,
            test: 0,
            seed: 0,
        })?;
        // Pictures with numbers have no classes and fill as many rows as there are.
        let classes = source.classes().len().max(3);
        let (n, width) = (side as usize, COLUMNS * side as usize);
        let mut sheet = vec![0; width * classes * n * 3];
        for place in 0..classes * COLUMNS {
            let (row, column) = (place % classes, place / classes);
            let picture = source.load(Split::Train, place.min(train - 1))?;
            for (y, line) in picture.rgb.chunks_exact(n * 3).enumerate() {
                let from = ((row * n + y) * width + column * n) * 3;
                sheet[from..from + n * 3].copy_from_slice(line);
            }
        }
        let path = folder.join(format!("{name}.png"));
        image::save_buffer(
            path,
            &sheet,
            width as u32,
            (classes * n) as u32,
            image::ColorType::Rgb8,
        )?;
        if raw {
            for split in Split::ALL {
                let mut bytes = Vec::new();
                for index in 0..source.len(split) {
                    bytes.extend(source.load(split, index)?.rgb);
                }
                fs::write(folder.join(format!("{name}-{split}.rgb")), bytes)?;
            }
        }
    }
    Ok(())
}
