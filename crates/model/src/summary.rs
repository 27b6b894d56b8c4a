//! The table of a network's layers, as `torchinfo` and Keras print it.

use std::{cell::RefCell, fmt, sync::Arc};

use candle_core::Tensor;

use crate::parameter::Parameter;

/// Where layers note what they did during one pass.
#[derive(Debug, Default)]
pub struct Trace {
    rows: RefCell<Vec<LayerRow>>,
}

impl Trace {
    /// Notes that the layer `name` gave `output`, using `parameters` and so many multiplications.
    pub fn note(
        &self,
        name: &str,
        kind: &'static str,
        output: &Tensor,
        parameters: &[Option<&Arc<Parameter>>],
        multiply_adds: usize,
    ) {
        let count = |of: &dyn Fn(&Parameter) -> bool| {
            let used = parameters
                .iter()
                .flatten()
                .filter(|parameter| of(parameter));
            used.map(|parameter| parameter.var.elem_count()).sum()
        };
        self.rows.borrow_mut().push(LayerRow {
            name: name.to_owned(),
            kind,
            output: published_shape(output.dims()),
            parameters: count(&|_| true),
            trainable: count(&Parameter::trainable),
            multiply_adds,
        });
    }

    pub(crate) fn into_rows(self) -> Vec<LayerRow> {
        self.rows.into_inner()
    }
}

/// A shape as PyTorch and the papers give it: maps, which are computed as (n, h, w, c), are (n, c, h, w).
fn published_shape(dims: &[usize]) -> Vec<usize> {
    match *dims {
        [n, h, w, c] => vec![n, c, h, w],
        _ => dims.to_vec(),
    }
}

/// One layer of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerRow {
    /// Its dotted name, as in torchvision where torchvision names it.
    pub name: String,
    /// What it does, such as `conv2d`.
    pub kind: &'static str,
    /// Shape of its output, of maps (n, c, h, w).
    pub output: Vec<usize>,
    /// Numbers in its parameters.
    pub parameters: usize,
    /// How many of them train.
    pub trainable: usize,
    /// Multiplications (each with an addition) for this batch.
    pub multiply_adds: usize,
}

/// The layers of a network, in the order in which they run, for one batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The kind of network.
    pub kind: &'static str,
    /// Shape of the input, (n, 3, h, w).
    pub input: Vec<usize>,
    /// The layers.
    pub layers: Vec<LayerRow>,
    /// Numbers that batch norm keeps beside its parameters.
    pub buffers: usize,
}

impl Summary {
    /// Numbers in all parameters.
    pub fn parameters(&self) -> usize {
        self.layers.iter().map(|layer| layer.parameters).sum()
    }

    /// Numbers in all parameters that train.
    pub fn trainable(&self) -> usize {
        self.layers.iter().map(|layer| layer.trainable).sum()
    }

    /// Multiplications of one forward pass.
    pub fn multiply_adds(&self) -> usize {
        self.layers.iter().map(|layer| layer.multiply_adds).sum()
    }

    /// Bytes of the input.
    pub fn input_bytes(&self) -> usize {
        4 * self.input.iter().product::<usize>()
    }

    /// Bytes of all layers' outputs.
    pub fn activation_bytes(&self) -> usize {
        let numbers = self
            .layers
            .iter()
            .map(|layer| layer.output.iter().product::<usize>());
        4 * numbers.sum::<usize>()
    }

    /// Bytes of parameters and buffers.
    pub fn weight_bytes(&self) -> usize {
        4 * (self.parameters() + self.buffers)
    }

    /// Bytes of gradients and of the momentum of SGD while training.
    pub fn training_bytes(&self) -> usize {
        2 * 4 * self.trainable()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header =
            ["layer", "kind", "output shape", "parameters", "trainable"].map(str::to_owned);
        let rows: Vec<[String; 5]> = self.layers.iter().map(cells).collect();
        let width = |column: usize| {
            let cells = rows.iter().chain([&header]);
            cells
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: [usize; 5] = std::array::from_fn(width);
        let line = "─".repeat(widths.iter().sum::<usize>() + 2 * (widths.len() - 1));
        writeln!(f, "{} for input {}", self.kind, shape_text(&self.input))?;
        writeln!(f, "{line}")?;
        for (i, row) in [&header].into_iter().chain(&rows).enumerate() {
            if i == 1 {
                writeln!(f, "{line}")?;
            }
            let [layer, kind, output, parameters, trainable] = row;
            let [a, b, c, d, e] = widths;
            let text =
                format!("{layer:a$}  {kind:b$}  {output:c$}  {parameters:>d$}  {trainable:>e$}");
            writeln!(f, "{}", text.trim_end())?;
        }
        writeln!(f, "{line}")?;
        self.totals(f)
    }
}

impl Summary {
    fn totals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fixed = self.parameters() - self.trainable();
        writeln!(f, "parameters        {}", grouped(self.parameters()))?;
        writeln!(f, "  trainable       {}", grouped(self.trainable()))?;
        writeln!(f, "  fixed           {}", grouped(fixed))?;
        if self.buffers > 0 {
            writeln!(f, "buffers           {}", grouped(self.buffers))?;
        }
        writeln!(
            f,
            "multiply-adds     {} M",
            decimal(self.multiply_adds() as f64 / 1e6)
        )?;
        writeln!(f, "memory")?;
        writeln!(f, "  input           {}", mebibytes(self.input_bytes()))?;
        writeln!(
            f,
            "  activations     {}",
            mebibytes(self.activation_bytes())
        )?;
        writeln!(f, "  weights         {}", mebibytes(self.weight_bytes()))?;
        writeln!(
            f,
            "  training adds   {}  (gradients and momentum)",
            mebibytes(self.training_bytes())
        )
    }
}

fn cells(layer: &LayerRow) -> [String; 5] {
    let trainable = match (layer.parameters, layer.trainable) {
        (0, _) => String::new(),
        (_, 0) => "no".to_owned(),
        (all, some) if all == some => "yes".to_owned(),
        (_, some) => grouped(some),
    };
    let parameters = if layer.parameters == 0 {
        "–".to_owned()
    } else {
        grouped(layer.parameters)
    };
    [
        layer.name.clone(),
        layer.kind.to_owned(),
        shape_text(&layer.output),
        parameters,
        trainable,
    ]
}

fn shape_text(shape: &[usize]) -> String {
    let sides: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("({})", sides.join(", "))
}

fn mebibytes(bytes: usize) -> String {
    format!("{} MiB", decimal(bytes as f64 / f64::from(1 << 20)))
}

fn decimal(value: f64) -> String {
    format!("{value:.2}")
}

/// `11689512` as `11,689,512`.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (11_689_512, "11,689,512"),
        ] {
            assert_eq!(grouped(number), text);
        }
    }
}
