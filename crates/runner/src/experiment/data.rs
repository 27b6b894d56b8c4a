//! Reads `[data]` and `[data.transform]`.

use graft_data::{
    Amount, Cifar10Spec, CsvSpec, GeneratedSpec, GeneratedTask, ImageFolderSpec, OnBadImage,
    SourceSpec, SplitFolders, Step, StepError, Subset, Target, TransformSpec, Views,
};

use super::{
    fields::{Fields, Scope, Sink},
    rules::{Flag, List, Number, Parsed, Rule, Text, WebAddress, Whole, Word},
    suggest::{nearest, one_of},
    tree::{Node, Value},
};

type ReadSource = fn(&Fields<'_>) -> Option<SourceSpec>;

/// The words of `source` and how each reads its keys.
const SOURCES: &[(&str, ReadSource)] = &[
    ("image-folder", image_folder),
    ("csv", csv),
    ("cifar10", cifar10),
    ("generated", generated),
];

/// Largest side of an input in pixels.
const LARGEST_SIZE: i64 = 4096;

/// The keys that say which training pictures are learnt from. A variant may have its own.
pub(super) const SUBSET_KEYS: [&str; 2] = ["train_fraction", "per_class"];

/// Reads which training pictures are learnt from.
pub(super) fn subset(fields: &Fields<'_>, source: Option<&SourceSpec>) -> Option<Subset> {
    let [fraction, per_class] = SUBSET_KEYS.map(|key| fields.node(key));
    let sink = fields.sink();
    match (fraction, per_class) {
        (None, None) => Some(Subset::Whole),
        (Some(node), None) => Number::Positive(1.0).read(node, sink).map(|share| {
            if share < 1.0 {
                Subset::Fraction(share)
            } else {
                Subset::Whole
            }
        }),
        (None, Some(node)) => {
            let count = Whole(1, 10_000_000).read(node, sink)?;
            if source.is_some_and(|source| source.target() == Target::Number) {
                let message = "the pictures have numbers and no classes";
                let hint = "`train_fraction` takes a share of them".to_owned();
                sink.problem_with_hint(&node.origin, message, Some(hint));
                return None;
            }
            Some(Subset::PerClass(count as usize))
        }
        (Some(_), Some(node)) => {
            let message = "expected one of `train_fraction` and `per_class`, found both";
            sink.problem(&node.origin, message);
            None
        }
    }
}

/// Reads where the pictures come from; the transform and the subset are read elsewhere.
pub(super) fn source(fields: Fields<'_>) -> Option<SourceSpec> {
    fields.node("transform");
    for key in SUBSET_KEYS {
        fields.node(key);
    }
    // Without a source nobody knows which of the other keys are right.
    let read = fields.required("source", &Word(SOURCES))?;
    let source = read(&fields);
    fields.finish();
    source
}

fn image_folder(fields: &Fields<'_>) -> Option<SourceSpec> {
    let path = fields.required("path", &Text("the folder of the pictures"));
    let url = url(fields);
    let splits = fields.table("splits").and_then(|splits| {
        let folder = Text("the folder of the split below `path`");
        let train = splits.or("train", &folder, "train");
        let val = splits.or("val", &folder, "val");
        let test = splits.optional("test", &folder);
        let test_is_good = test.is_some() || splits.node("test").is_none();
        splits.finish();
        Some(SplitFolders {
            train: train?,
            val: val?,
            test: test_is_good.then_some(test)?,
        })
    });
    let exif_orientation = fields.or("exif_orientation", &Flag, false);
    let on_bad_image = fields.or("on_bad_image", &Word(ON_BAD_IMAGE), "error");
    Some(SourceSpec::ImageFolder(ImageFolderSpec {
        path: path?,
        url: url?,
        splits: splits?,
        exif_orientation: exif_orientation?,
        on_bad_image: on_bad_image?,
    }))
}

/// Reads `url`, which may be left out.
#[expect(
    clippy::option_option,
    reason = "no address is not the same as one that can't be read"
)]
fn url(fields: &Fields<'_>) -> Option<Option<String>> {
    match fields.node("url") {
        None => Some(None),
        Some(node) => WebAddress.read(node, fields.sink()).map(Some),
    }
}

fn cifar10(fields: &Fields<'_>) -> Option<SourceSpec> {
    let path = fields.required("path", &Text("the folder of the batches"));
    let url = url(fields);
    let val = fields.or("val", &AMOUNT, 5000);
    let split_seed = fields.or("split_seed", &Whole(0, i64::MAX), 0);
    Some(SourceSpec::Cifar10(Cifar10Spec {
        path: path?,
        url: url?,
        val: val?,
        split_seed: split_seed?,
    }))
}

fn csv(fields: &Fields<'_>) -> Option<SourceSpec> {
    const COLUMN: Text = Text("the name of a column");
    let path = fields.required("path", &Text("the CSV file, or its folder"));
    let mut good = true;
    let mut text = |key, rule: &Text| {
        let text = fields.optional(key, rule);
        good &= text.is_some() || fields.node(key).is_none();
        text
    };
    let file = text("file", &Text("the CSV file in the folder `path`"));
    let root = text("root", &Text("the folder of the pictures"));
    let (image, split) = (text("image", &COLUMN), text("split", &COLUMN));
    let (label, number) = (text("label", &COLUMN), text("number", &COLUMN));
    let mut amount = |key, rule: &AmountRule| {
        let amount = fields.optional(key, rule);
        good &= amount.is_some() || fields.node(key).is_none();
        amount
    };
    let (val, test) = (amount("val", &AMOUNT), amount("test", &AMOUNT_OR_NONE));
    let split_seed = fields.or("split_seed", &Whole(0, i64::MAX), 0);
    let exif_orientation = fields.or("exif_orientation", &Flag, false);
    let on_bad_image = fields.or("on_bad_image", &Word(ON_BAD_IMAGE), "error");
    good &= check_answer(fields) & check_split(fields);
    let spec = CsvSpec {
        path: path?,
        file,
        root,
        image,
        label,
        number,
        split,
        val,
        test,
        split_seed: split_seed?,
        exif_orientation: exif_orientation?,
        on_bad_image: on_bad_image?,
    };
    good.then_some(SourceSpec::Csv(spec))
}

/// Whether a list has classes or numbers, and not both.
fn check_answer(fields: &Fields<'_>) -> bool {
    let message = match (fields.node("label"), fields.node("number")) {
        (Some(_), None) | (None, Some(_)) => return true,
        (Some(_), Some(_)) => "expected one of `label` and `number`, found both",
        (None, None) => "expected one of `label` and `number`, found neither",
    };
    let hint =
        "`label` names the column with the classes, `number` that with the numbers of a regression";
    let origin = fields
        .node("number")
        .map_or(fields.origin(), |node| &node.origin);
    fields
        .sink()
        .problem_with_hint(origin, message, Some(hint.to_owned()));
    false
}

/// Whether either a column or the keys `val` and `test` say the splits.
fn check_split(fields: &Fields<'_>) -> bool {
    let drawn = fields.node("val").or(fields.node("test"));
    let (Some(_), Some(node)) = (fields.node("split"), drawn) else {
        return true;
    };
    let message = "the column `split` says the splits already";
    let hint =
        "leave `split` out to draw the splits, or `val` and `test` to take them from the list";
    fields
        .sink()
        .problem_with_hint(&node.origin, message, Some(hint.to_owned()));
    false
}

/// A number of pictures, or a share of all; 0 if `none` is allowed.
struct AmountRule {
    none: bool,
}

const AMOUNT: AmountRule = AmountRule { none: false };
const AMOUNT_OR_NONE: AmountRule = AmountRule { none: true };

impl Rule for AmountRule {
    type Value = Amount;

    fn expected(&self) -> String {
        let none = if self.none { ", or 0 for none" } else { "" };
        format!("a number of pictures, or a share of them above 0 and below 1{none}")
    }

    fn read(&self, node: &Node, sink: &Sink) -> Option<Amount> {
        match node.value {
            Value::Whole(0) if self.none => return Some(Amount::Count(0)),
            Value::Whole(count @ 1..=10_000_000) => return Some(Amount::Count(count as usize)),
            Value::Fraction(share) if share > 0.0 && share < 1.0 => {
                return Some(Amount::Fraction(share));
            }
            _ => sink.wrong(node, &self.expected()),
        }
        None
    }
}

const ON_BAD_IMAGE: &[(&str, OnBadImage)] =
    &[("error", OnBadImage::Error), ("skip", OnBadImage::Skip)];

fn generated(fields: &Fields<'_>) -> Option<SourceSpec> {
    const TASKS: &[(&str, GeneratedTask)] = &[
        ("source", GeneratedTask::Source),
        ("target", GeneratedTask::Target),
        ("night-brightness", GeneratedTask::NightBrightness),
        ("poverty", GeneratedTask::Poverty),
    ];
    let pictures = Whole(1, 10_000_000);
    let task = fields.required("task", &Word(TASKS));
    let side = fields.required("side", &Whole(16, 512));
    let train = fields.required("train", &pictures);
    let val = fields.required("val", &pictures);
    let test = match fields.node("test") {
        None => Some(0),
        Some(node) => pictures.read(node, fields.sink()),
    };
    let seed = fields.or("seed", &Whole(0, i64::MAX), 0);
    Some(SourceSpec::Generated(GeneratedSpec {
        task: task?,
        side: side? as u32,
        train: train? as usize,
        val: val? as usize,
        test: test? as usize,
        seed: seed?,
    }))
}

/// Reads `[data.transform]`. The input is as large as generated pictures are, or else as networks for `ImageNet` expect.
pub(super) fn transform(fields: Fields<'_>, source: Option<&SourceSpec>) -> Option<TransformSpec> {
    let transform = read_transform(&fields, source);
    fields.finish();
    transform
}

fn read_transform(fields: &Fields<'_>, source: Option<&SourceSpec>) -> Option<TransformSpec> {
    let size = match source {
        Some(SourceSpec::Generated(generated)) => generated.side,
        _ => 224,
    };
    let steps = List(
        Parsed::with("a transform", step),
        "a list of transforms, such as [\"resize 256\", \"center-crop\"]",
    );
    let size = fields.or("size", &Whole(1, LARGEST_SIZE), i64::from(size));
    let train = vec!["random-resized-crop", "horizontal-flip"];
    let train = fields.or("train", &steps, train);
    let eval = size.map(|size| {
        let steps = TransformSpec::usual_evaluation(size as u32);
        steps.iter().map(Step::to_string).collect::<Vec<_>>()
    });
    let eval = eval.map(|eval| fields.or_following("eval", &steps, eval, Some(SIZE)));
    if size.is_none() {
        fields.node("eval");
    }
    let views = fields.or("views", &ViewsRule, Views::FRESH);
    let (size, eval, views) = (size? as u32, eval?, views?);
    if fields.scope() == Scope::File {
        // A variant or the grid may change one of them yet.
        return None;
    }
    // Each list is checked beside one that is good, so that both are told about.
    let good = || vec![Step::CenterCrop(None)];
    let with = |train, eval| TransformSpec {
        size,
        train,
        eval,
        views,
    };
    let train = train.filter(|train| is_good(fields, "train", &with(train.clone(), good())));
    let eval = eval.filter(|eval| is_good(fields, "eval", &with(good(), eval.clone())));
    Some(with(train?, eval?))
}

/// `"fresh"` or a number of views.
struct ViewsRule;

impl Rule for ViewsRule {
    type Value = Views;

    fn expected(&self) -> String {
        format!(
            "`{}` or a whole number from 1 to {}",
            Views::FRESH,
            Views::MOST
        )
    }

    fn read(&self, node: &Node, sink: &Sink) -> Option<Views> {
        if let Value::Whole(number) = node.value
            && (1..=i128::from(Views::MOST)).contains(&number)
        {
            return Some(Views::Fixed(number as u32));
        }
        if node.text() == Some(Views::FRESH) {
            return Some(Views::Fresh);
        }
        let message = format!("expected {}, found {}", self.expected(), node.found());
        let number = node.text().and_then(|text| text.trim().parse::<u32>().ok());
        let near = node.text().and_then(|text| nearest(text, [Views::FRESH]));
        let hint = match (number, near, &node.value) {
            (Some(number), ..) => format!("write it without quotes: `views = {number}`"),
            (_, Some(word), _) => format!("did you mean `\"{word}\"`?"),
            (.., Value::Whole(number)) if *number > 0 => {
                "`\"fresh\"` draws a new view every epoch".to_owned()
            }
            _ => "`views = 20` gives every training picture 20 views, `\"fresh\"` a new one every epoch"
                .to_owned(),
        };
        sink.problem_with_hint(&node.origin, message, Some(hint));
        None
    }
}

/// Reports what is wrong with `list` of `transform`.
fn is_good(fields: &Fields<'_>, list: &str, transform: &TransformSpec) -> bool {
    let Err(error) = transform.check() else {
        return true;
    };
    let text = error.to_string();
    let (message, hint) = match text.split_once("\nhint: ") {
        Some((message, hint)) => (message, Some(hint.to_owned())),
        None => (text.as_str(), None),
    };
    let origin = fields
        .node(list)
        .map_or(fields.origin(), |node| &node.origin);
    fields.sink().problem_with_hint(origin, message, hint);
    false
}

/// The key that the default of `eval` follows.
const SIZE: &str = "data.transform.size";

/// Reads a step; a misspelt one gets a suggestion.
fn step(text: &str) -> Result<Step, String> {
    text.parse().map_err(|error: StepError| match &error {
        StepError::Unknown(word) => match nearest(word, Step::NAMES) {
            Some(name) => format!("{error}; did you mean `{name}`?"),
            None => format!("{error}; expected {}", one_of(Step::NAMES)),
        },
        StepError::Argument { .. } => error.to_string(),
    })
}
