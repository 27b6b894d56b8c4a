//! A trained network outside of any trial: pictures in, probabilities out, with the bits that validation gives.

use candle_core::Device;
use graft_data::{Batch, Normalization, Picture, Scratch, Transform, TransformSpec};
use graft_model::{ModelSpec, Network, Pass, WeightFile};
use graft_ops::{Tape, softmax};

use crate::{ModelCard, TrainError, session};

/// How the pictures of a network become its inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocessing {
    /// Its evaluation steps are taken.
    pub transform: TransformSpec,
    /// Mean and standard deviation of each colour.
    pub normalization: Normalization,
    /// Whether the orientation in a picture's EXIF data is applied first.
    pub exif_orientation: bool,
}

impl ModelCard {
    /// How the network's pictures become its inputs.
    pub fn preprocessing(&self) -> Preprocessing {
        Preprocessing {
            transform: self.transform.clone(),
            normalization: Normalization {
                mean: self.mean,
                std: self.std,
            },
            exif_orientation: self.exif_orientation,
        }
    }
}

/// A trained network and the way pictures become its inputs.
pub struct Predictor {
    network: Network,
    transform: Transform,
    exif_orientation: bool,
    device: Device,
}

impl Predictor {
    /// The network `model` for `classes` classes with all of its weights from `file`.
    ///
    /// # Errors
    /// When the weights do not fit the network, or the network the size of the pictures.
    pub fn new(
        model: &ModelSpec,
        classes: usize,
        preprocessing: &Preprocessing,
        file: &WeightFile,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let transform = Transform::new(&preprocessing.transform, preprocessing.normalization)?;
        let network = Network::trained(model, classes, transform.size(), device, file)?;
        Ok(Self {
            network,
            transform,
            exif_orientation: preprocessing.exif_orientation,
            device: device.clone(),
        })
    }

    /// How many classes it tells apart.
    pub fn classes(&self) -> usize {
        self.network.classes()
    }

    /// Whether pictures are to be read with the orientation in their EXIF data.
    pub fn exif_orientation(&self) -> bool {
        self.exif_orientation
    }

    /// The input (size, size, 3) that a picture becomes.
    ///
    /// # Errors
    /// When the picture is too long and narrow for its steps.
    pub fn input(&self, picture: &Picture, scratch: &mut Scratch) -> Result<Vec<f32>, TrainError> {
        let mut input = vec![0.0; self.transform.input_len()];
        self.transform.evaluate(picture, scratch, &mut input)?;
        Ok(input)
    }

    /// The probabilities of all classes for each of some inputs. They do not depend on the inputs beside it.
    ///
    /// # Panics
    /// When an input is none of [`Self::input`].
    pub fn probabilities(&self, inputs: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, TrainError> {
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        let whole = inputs
            .iter()
            .all(|input| input.len() == self.transform.input_len());
        assert!(whole, "inputs of another size");
        let batch = Batch {
            pixels: inputs.concat(),
            labels: Vec::new(),
            numbers: Vec::new(),
            indices: (0..inputs.len()).collect(),
            size: self.transform.size(),
            ..Batch::default()
        };
        let tape = Tape::disabled();
        let input = session::input(batch, &self.device)?;
        let logits = self.network.forward(&input, &Pass::evaluation(&tape))?;
        Ok(softmax(&logits)?.to_vec2()?)
    }
}
