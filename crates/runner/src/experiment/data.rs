//! Reads `[data]` and `[data.transform]`.

use graft_data::{
    GeneratedSpec, GeneratedTask, ImageFolderSpec, OnBadImage, SourceSpec, SplitFolders, Step,
    StepError, TransformSpec, Views,
};

use super::{
    fields::{Fields, Scope, Sink},
    rules::{Flag, List, Parsed, Rule, Text, WebAddress, Whole, Word},
    suggest::{nearest, one_of},
    tree::{Node, Value},
};

type ReadSource = fn(&Fields<'_>) -> Option<SourceSpec>;

/// The words of `source` and how each reads its keys.
const SOURCES: &[(&str, ReadSource)] = &[("image-folder", image_folder), ("generated", generated)];

/// Largest side of an input in pixels.
const LARGEST_SIZE: i64 = 4096;

/// Reads where the pictures come from; the transform is read elsewhere.
pub(super) fn source(fields: Fields<'_>) -> Option<SourceSpec> {
    fields.node("transform");
    // Without a source nobody knows which of the other keys are right.
    let read = fields.required("source", &Word(SOURCES))?;
    let source = read(&fields);
    fields.finish();
    source
}

fn image_folder(fields: &Fields<'_>) -> Option<SourceSpec> {
    let path = fields.required("path", &Text("the folder of the pictures"));
    let url = fields.optional("url", &WebAddress);
    let url_is_good = url.is_some() || fields.node("url").is_none();
    let splits = fields.table("splits").and_then(|splits| {
        let folder = Text("the folder of the split below `path`");
        let train = splits.or("train", &folder, "train");
        let val = splits.or("val", &folder, "val");
        splits.finish();
        Some(SplitFolders {
            train: train?,
            val: val?,
        })
    });
    let exif_orientation = fields.or("exif_orientation", &Flag, false);
    let on_bad_image = fields.or("on_bad_image", &Word(ON_BAD_IMAGE), "error");
    Some(SourceSpec::ImageFolder(ImageFolderSpec {
        path: path?,
        url: url_is_good.then_some(url)?,
        splits: splits?,
        exif_orientation: exif_orientation?,
        on_bad_image: on_bad_image?,
    }))
}

const ON_BAD_IMAGE: &[(&str, OnBadImage)] =
    &[("error", OnBadImage::Error), ("skip", OnBadImage::Skip)];

fn generated(fields: &Fields<'_>) -> Option<SourceSpec> {
    const TASKS: &[(&str, GeneratedTask)] = &[
        ("source", GeneratedTask::Source),
        ("target", GeneratedTask::Target),
    ];
    let pictures = Whole(1, 10_000_000);
    let task = fields.required("task", &Word(TASKS));
    let side = fields.required("side", &Whole(16, 512));
    let train = fields.required("train", &pictures);
    let val = fields.required("val", &pictures);
    let seed = fields.or("seed", &Whole(0, i64::MAX), 0);
    Some(SourceSpec::Generated(GeneratedSpec {
        task: task?,
        side: side? as u32,
        train: train? as usize,
        val: val? as usize,
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
