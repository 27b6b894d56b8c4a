//! Pictures that a CSV file lists: columns, splits, and what is said about wrong lists.

use std::{collections::BTreeSet, fs, path::PathBuf, sync::Arc};

use graft_data::{
    Amount, Answer, CsvSpec, DataError, DataFolders, Loader, LoaderOptions, MemoryBudget,
    Normalization, OnBadImage, PictureCache, Source, SourceSpec, Split, Step, Target, Transform,
    TransformSpec, Views, open,
};

/// A folder with a list under construction.
struct Desk {
    folder: tempfile::TempDir,
    spec: CsvSpec,
}

fn png(shade: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_fn(5, 4, |x, y| image::Rgb([x as u8 * 40, y as u8 * 50, shade]))
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

impl Desk {
    /// A list with the column `class`.
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            spec: CsvSpec {
                path: "insects/list.csv".to_owned(),
                file: None,
                root: None,
                image: None,
                label: Some("class".to_owned()),
                number: None,
                split: None,
                val: None,
                test: None,
                split_seed: 0,
                exif_orientation: false,
                on_bad_image: OnBadImage::Error,
            },
        }
    }

    fn write(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    fn list(self, text: impl AsRef<[u8]>) -> Self {
        self.write("list.csv", text)
    }

    /// Pictures `0.png` and so on.
    fn pictures(mut self, count: usize) -> Self {
        for number in 0..count {
            self = self.write(&format!("{number}.png"), png(number as u8));
        }
        self
    }

    fn with(mut self, change: impl FnOnce(&mut CsvSpec)) -> Self {
        change(&mut self.spec);
        self
    }

    /// Numbers in the column `wealth`.
    fn numbers(self) -> Self {
        self.with(|spec| {
            spec.label = None;
            spec.number = Some("wealth".to_owned());
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("insects").join(name)
    }

    fn open(&self) -> Result<Arc<dyn Source>, DataError> {
        let folders = DataFolders {
            search: vec![self.folder.path().to_owned()],
            download_into: self.folder.path().join("data"),
            offline: true,
        };
        open(&SourceSpec::Csv(self.spec.clone()), &folders)
    }

    fn source(&self) -> Arc<dyn Source> {
        self.open().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The error without the folder.
    fn error(&self) -> String {
        let text = self.open().err().expect("an error").to_string();
        text.replace(&format!("{}/insects/", self.folder.path().display()), "")
    }
}

/// Names and answers of a split.
fn content(source: &dyn Source, split: Split) -> Vec<(String, Answer)> {
    (0..source.len(split))
        .map(|index| (source.name(split, index), source.answer(split, index)))
        .collect()
}

#[test]
fn a_list_with_classes_and_splits_is_read() {
    let text = "split,class,file,remark\n\
                train,wasp,0.png,\"one, two\"\nval,ant,./1.png,\n\ntrain,ant,2.png,\ntest,wasp,sub/3.png,x\n";
    let desk = Desk::new()
        .pictures(3)
        .write("sub/3.png", png(3))
        .list(text);
    let source = desk.source();
    assert_eq!(
        (source.target(), source.classes()),
        (Target::Classes, &["ant".to_owned(), "wasp".to_owned()][..])
    );
    let named = |name: &str, label| (name.to_owned(), Answer::Class(label));
    assert_eq!(
        content(&*source, Split::Train),
        [named("0.png", 1), named("2.png", 0)]
    );
    assert_eq!(content(&*source, Split::Val), [named("1.png", 0)]);
    assert_eq!(content(&*source, Split::Test), [named("sub/3.png", 1)]);
    assert_eq!(source.load(Split::Test, 0).unwrap().rgb[2], 3);
    // However it is written, it is the same data.
    let base = source.fingerprint().unwrap();
    let written = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let desk = desk.list(written);
    assert_eq!(desk.source().fingerprint().unwrap(), base);
    assert_ne!(
        desk.list(text.replace("ant", "bee"))
            .source()
            .fingerprint()
            .unwrap(),
        base
    );
}

#[test]
fn numbers_are_read_and_batched() {
    let text =
        "image,wealth,when\n0.png,0.5,train\n1.png, -1e-3 ,val\n2.png,7,train\n3.png,1,val\n";
    let desk = Desk::new().pictures(4).list(text).numbers();
    let desk = desk.with(|spec| spec.split = Some("when".to_owned()));
    let source = desk.source();
    assert_eq!(source.target(), Target::Number);
    assert!(source.classes().is_empty() && !source.has_test());
    assert_eq!(source.answer(Split::Val, 0).number(), Some(-1e-3));
    assert_eq!(source.label(Split::Val, 0), None);
    let spec = TransformSpec {
        size: 4,
        train: vec![Step::CenterCrop(None)],
        eval: vec![Step::CenterCrop(None)],
        views: Views::Fresh,
    };
    let normalization = Normalization {
        mean: [0.0; 3],
        std: [1.0; 3],
    };
    let cache = PictureCache::new(source, MemoryBudget::new(0));
    let options = LoaderOptions {
        batch_size: 2,
        threads: 0,
        look_ahead: 1,
    };
    let transform = Transform::new(&spec, normalization).unwrap();
    let loader = Loader::new(Arc::new(cache), transform, options);
    let batch = loader.evaluation(Split::Train).next().unwrap().unwrap();
    assert_eq!((batch.numbers, batch.labels.len()), (vec![0.5, 7.0], 0));
    assert_eq!(batch.indices, [0, 1]);
}

/// A list of `count` pictures, every third of the class `b`.
fn unsplit(count: usize) -> Desk {
    let rows = (0..count).map(|n| format!("{n}.png,{}\n", if n % 3 == 2 { "b" } else { "a" }));
    let text = format!("image,class\n{}", rows.collect::<String>());
    Desk::new().pictures(count).list(text)
}

#[test]
fn splits_are_drawn_class_by_class() {
    let desk = unsplit(30);
    let source = desk.source();
    let lens = |source: &dyn Source| Split::ALL.map(|split| source.len(split));
    assert_eq!(lens(&*source), [21, 6, 3]);
    let of_b = Split::ALL.map(|split| {
        let content = content(&*source, split);
        content
            .iter()
            .filter(|(_, answer)| *answer == Answer::Class(1))
            .count()
    });
    assert_eq!(of_b, [7, 2, 1]);
    let names: BTreeSet<String> = Split::ALL
        .iter()
        .flat_map(|&split| content(&*source, split))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names.len(), 30);
    let base = content(&*source, Split::Val);
    assert_eq!(content(&*desk.source(), Split::Val), base);
    let desk = desk.with(|spec| spec.split_seed = 1);
    assert_ne!(content(&*desk.source(), Split::Val), base);
    let desk = desk.with(|spec| {
        spec.val = Some(Amount::Count(4));
        spec.test = Some(Amount::Count(0));
    });
    assert_eq!(lens(&*desk.source()), [26, 4, 0]);
    for val in [Amount::Count(30), Amount::Count(31), Amount::Fraction(0.01)] {
        let desk = unsplit(30).with(|spec| spec.val = Some(val));
        assert!(
            desk.error().contains("its 30 pictures can't be divided"),
            "{val}"
        );
    }
}

#[test]
fn lists_and_pictures_may_lie_apart() {
    let desk = unsplit(9).with(|spec| spec.path = "insects".to_owned());
    let text = desk.error();
    assert!(
        text.contains("it is a folder, expected a CSV file; the CSV files in it: list.csv"),
        "{text}"
    );
    let desk = desk.with(|spec| spec.file = Some("list.csv".to_owned()));
    assert!(desk.open().is_ok());
    fs::create_dir(desk.path("lists")).unwrap();
    fs::rename(desk.path("list.csv"), desk.path("lists/list.csv")).unwrap();
    let desk = desk.with(|spec| spec.file = Some("lists/list.csv".to_owned()));
    assert!(
        desk.error()
            .contains("lists/list.csv:2: there is no file lists/0.png"),
        "{}",
        desk.error()
    );
    let desk = desk.with(|spec| spec.root = Some("..".to_owned()));
    assert!(desk.open().is_ok());
    let desk = desk.with(|spec| spec.path = "nowhere.csv".to_owned());
    let text = desk.error();
    assert!(
        text.contains("there is no file `nowhere.csv`; looked for"),
        "{text}"
    );
}

#[test]
fn wrong_rows_are_named_by_their_line() {
    for (rows, expected) in [
        (
            "9.png,a\n",
            "list.csv:4: there is no file 9.png\nhint: pictures are named by",
        ),
        ("sub\\9.png,a\n", "hint: write `/` between folders"),
        (",a\n", "list.csv:4: the name of the picture is empty"),
        ("../list.csv,a\n", "list.csv:4: `../list.csv` is outside of"),
        ("/etc/passwd,a\n", "list.csv:4: `/etc/passwd` is outside of"),
        ("2.png,\n", "list.csv:4: the class is empty"),
        (
            "\n\r\n2.png,a,b\n",
            "list.csv:6: it has 3 columns, the headings are 2",
        ),
        ("2.png\n", "list.csv:4: it has 1 columns"),
        (
            "2.png,a\n./0.png,b\n",
            "list.csv:5: `0.png` is in line 2 already",
        ),
    ] {
        let text = format!("image,class\n0.png,a\n1.png,b\n{rows}");
        for text in [
            text.clone(),
            text.replace('\n', "\r\n").replace("\r\r", "\r"),
        ] {
            let found = Desk::new().pictures(3).list(&text).error();
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }
    let mut bytes = b"image,class\n0.png,a\n1.png,".to_vec();
    bytes.extend(b"\xff\n");
    let found = Desk::new().pictures(2).list(bytes).error();
    assert!(found.contains("list.csv:3: it is not UTF-8"), "{found}");
}

#[test]
fn a_quote_too_many_swallows_no_lines() {
    let rows = |change: &[(usize, &str)]| {
        let mut lines = vec!["image,class,remark".to_owned()];
        lines.extend((0..24).map(|n| format!("{n}.png,{},x", if n % 2 == 0 { "a" } else { "b" })));
        for (line, text) in change {
            lines[line - 1] = (*text).to_owned();
        }
        lines.join("\n") + "\n"
    };
    for (change, expected) in [
        (
            &[(6, "4.png,\"a,x")][..],
            "list.csv:6: the quote is never closed\nhint: ",
        ),
        // Another one closes it: by its end, within a text, and in a column that nobody reads.
        (
            &[(6, "4.png,\"a,x"), (9, "7.png,b\",x")],
            "list.csv:6: the quote is not closed before line 9",
        ),
        (
            &[(6, "4.png,\"a,x"), (9, "7.png,\"b\",x")],
            "list.csv:6: the quote is not closed before line 9",
        ),
        (
            &[(6, "4.png,a,\"x"), (9, "7.png,b,\"x\"")],
            "list.csv:6: the quote is not closed before line 9",
        ),
        (
            &[(6, "4.png,\"a,x"), (9, "7.png,\"b,x"), (12, "10.png,\"a,x")],
            "list.csv:6: the quote is not closed before line 9\nlist.csv:12: the quote is never closed\nhint: ",
        ),
        (
            &[(6, "\"4.png\",\"a,x\"")],
            "list.csv:6: it has 2 columns, the headings are 3\nhint: a quote that begins a text",
        ),
        (
            &[(1, "\"image,class,remark")],
            "list.csv:1: the quote is never closed",
        ),
    ] {
        for text in [rows(change), rows(change).replace('\n', "\r\n")] {
            let found = Desk::new().pictures(24).list(text).error();
            assert!(found.contains(expected), "{expected}: {found}");
        }
    }
    // A remark may have as many lines as it likes.
    let text = rows(&[(6, "4.png,a,\"one\ntwo, \"\"three\"\"\n\"")]);
    let source = Desk::new().pictures(24).list(text).source();
    let pictures: usize = Split::ALL.iter().map(|&split| source.len(split)).sum();
    assert_eq!(pictures, 24);
}

#[test]
fn all_wrong_rows_are_told() {
    let text = "image,class\n0.png,a\n7.png,a\n1.png,\n8.png,b\n2.png\n\u{1b}[31m.png,b\n";
    let found = Desk::new().pictures(3).list(text).error();
    let expected = "list.csv:3: there is no file 7.png\n\
                    list.csv:4: the class is empty\n\
                    list.csv:5: there is no file 8.png\n\
                    list.csv:6: it has 1 columns, the headings are 2\n\
                    list.csv:7: there is no file \\u{1b}[31m.png\n\
                    hint: pictures are named by their path below the folder of the list; `root` names another folder\n\
                    hint: a text with a comma stands in double quotes";
    assert_eq!(found, expected);
    let rows: Vec<String> = (0..25)
        .map(|number| format!("no-{number}.png,a\n"))
        .collect();
    let found = Desk::new()
        .list(format!("image,class\n{}", rows.concat()))
        .error();
    assert_eq!(found.matches("there is no file").count(), 10, "{found}");
    assert!(
        found.contains("list.csv: 15 more lines are wrong\nhint: pictures are"),
        "{found}"
    );
    // Lines of old Macintoshes are counted, too.
    let found = Desk::new()
        .pictures(2)
        .list("image,class\r0.png,a\r9.png,b\r")
        .error();
    assert!(
        found.contains("list.csv:3: there is no file 9.png"),
        "{found}"
    );
}

#[test]
fn numbers_that_are_none_are_refused() {
    for (number, expected) in [
        ("", "list.csv:3: the number is empty"),
        ("NaN", "list.csv:3: `NaN` is not a finite number"),
        ("-inf", "`-inf` is not a finite number"),
        ("1e39", "`1e39` is not a finite number"),
        ("much", "`much` is not a finite number"),
        ("\"0,5\"", "hint: write a point in the place of the comma"),
    ] {
        let text = format!("image,wealth\n0.png,1\n1.png,{number}\n");
        let found = Desk::new().pictures(2).list(text).numbers().error();
        assert!(found.contains(expected), "{expected}: {found}");
    }
}

#[test]
fn numbers_without_variance_in_validation_are_refused() {
    let list = |numbers: [&str; 3]| {
        let rows = numbers.map(str::to_owned).into_iter().zip(1..);
        let rows = rows.map(|(number, picture)| format!("{picture}.png,{number},val\n"));
        format!(
            "image,wealth,split\n0.png,7,train\n{}",
            rows.collect::<String>()
        )
    };
    let desk = |text: String| Desk::new().pictures(4).list(text).numbers();
    let found = desk(list(["0.5", "0.50", "5e-1"])).error();
    assert!(
        found.contains(
            "list.csv: R² needs at least two different numbers in validation, and all 3 pictures have 0.5\nhint: "
        ),
        "{found}"
    );
    desk(list(["0.5", "0.5", "0.6"])).source();
    let found = desk("image,wealth,split\n0.png,7,train\n1.png,8,val\n".to_owned()).error();
    assert!(
        found.contains("validation, and there is only one picture\nhint: "),
        "{found}"
    );
}

#[test]
fn wrong_lists_are_refused() {
    for (text, expected) in [
        ("", "list.csv: it is empty"),
        ("\n \r\n", "it is empty"),
        ("image,class\n", "it lists no pictures"),
        (
            "image,clas\n0.png,a\n",
            "list.csv:1: there is no column `class`; did you mean `clas`? the columns are image, clas",
        ),
        (
            "image,kind\n0.png,a\n",
            "there is no column `class`; the columns are image, kind",
        ),
        ("image;class\n0.png;a\n", "list.csv:1: there is no column"),
        (
            "picture,class\n0.png,a\n",
            "no column with the pictures, `image`, `filename`, `file`, `path`; the columns are picture, class\nhint: name it with `image`",
        ),
        (
            "image,class,class\n0.png,a,b\n",
            "there are two columns `class`",
        ),
        (
            "image,class\n0.png,a\n1.png,a\n",
            "every picture is of the class `a`\nhint: a classifier needs",
        ),
        (
            "image,class,split\n0.png,a,train\n1.png,b,validation\n",
            "list.csv:3: `validation` is no split, expected `train`, `val` or `test`",
        ),
        (
            "image,class,split\n0.png,a,train\n1.png,b,train\n",
            "no picture has `val` in the column `split`",
        ),
        (
            "image,class,split\n0.png,a,train\n1.png,b,val\n",
            "the class `b` has no training pictures",
        ),
    ] {
        let found = Desk::new().pictures(2).list(text).error();
        assert!(found.contains(expected), "{expected}: {found}");
    }
    let found = Desk::new().list(b"\xff\xfei\0m\0").error();
    assert!(found.contains("it is UTF-16, expected UTF-8"), "{found}");
    let both = Desk::new()
        .pictures(2)
        .list("image,class,split\n0.png,a,train\n1.png,b,val\n")
        .with(|spec| spec.val = Some(Amount::Count(1)));
    assert!(
        both.error()
            .contains("the column `split` of list.csv says the splits, and so do"),
        "{}",
        both.error()
    );
    let semicolons = Desk::new()
        .list("image;class\n0.png;a\n")
        .with(|spec| spec.image = Some("image".to_owned()));
    assert!(
        semicolons.error().contains("commas, not by semicolons"),
        "{}",
        semicolons.error()
    );
    let neither = unsplit(9).with(|spec| spec.label = None);
    assert!(
        neither
            .error()
            .contains("expected one of `label` and `number`")
    );
}

#[test]
fn unreadable_pictures_are_errors_or_left_out() {
    let desk = unsplit(12).write("4.png", b"text");
    let source = desk.source();
    let errors: Vec<String> = Split::ALL
        .iter()
        .flat_map(|&split| (0..source.len(split)).map(move |index| (split, index)))
        .filter_map(|(split, index)| Some(source.load(split, index).err()?.to_string()))
        .collect();
    assert!(
        errors.len() == 1 && errors[0].contains("4.png: its content is no JPEG"),
        "{errors:?}"
    );
    let desk = desk.with(|spec| spec.on_bad_image = OnBadImage::Skip);
    let skipping = desk.source();
    let sum = |source: &dyn Source| {
        Split::ALL
            .map(|split| source.len(split))
            .iter()
            .sum::<usize>()
    };
    assert_eq!((sum(&*source), sum(&*skipping)), (12, 11));
    assert!(
        skipping.notes()[0].starts_with("1 unreadable picture left out: 4.png ("),
        "{:?}",
        skipping.notes()
    );
    // The others stay in their splits.
    for split in Split::ALL {
        let kept = content(&*skipping, split);
        let all = content(&*source, split)
            .into_iter()
            .filter(|(name, _)| name != "4.png");
        assert_eq!(kept, all.collect::<Vec<_>>());
    }
}
