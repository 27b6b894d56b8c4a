//! One run through a network: on which tape, in which mode.

use std::cell::RefCell;

use candle_core::Tensor;
use graft_ops::Tape;
use graft_stream::{Purpose, stream_key};

use crate::{BatchNormMode, summary::Trace};

/// One run through a network.
#[derive(Clone, Copy)]
pub struct Pass<'a> {
    tape: &'a Tape,
    dropout: Option<Draws>,
    batch_statistics: bool,
    auxiliaries: Option<&'a RefCell<Vec<Auxiliary>>>,
    dropped: Option<&'a RefCell<Vec<u64>>>,
    trace: Option<&'a Trace>,
}

/// Logits of a second classifier, `(n, classes)`, and what their loss is multiplied with.
pub type Auxiliary = (Tensor, f64);

/// What a dropout mask depends on, besides the layer.
#[derive(Clone, Copy)]
struct Draws {
    seed: u64,
    repeat: u64,
    step: u64,
}

impl<'a> Pass<'a> {
    /// A training pass: dropout is on, with masks drawn for `(seed, repeat, step, layer)`; batch norm uses the
    /// batch's statistics and updates the running ones, unless the network's [`TransferSpec`](crate::TransferSpec) says otherwise.
    pub fn training(tape: &'a Tape, seed: u64, repeat: u64, step: u64) -> Self {
        let dropout = Some(Draws { seed, repeat, step });
        Self {
            tape,
            dropout,
            batch_statistics: true,
            auxiliaries: None,
            dropped: None,
            trace: None,
        }
    }

    /// An evaluation pass: no dropout, running statistics. It depends on nothing but the input and the weights.
    pub fn evaluation(tape: &'a Tape) -> Self {
        Self {
            tape,
            dropout: None,
            batch_statistics: false,
            auxiliaries: None,
            dropped: None,
            trace: None,
        }
    }

    /// The tape that operations are recorded on.
    pub fn tape(&self) -> &'a Tape {
        self.tape
    }

    /// Whether batch norm uses the statistics of the batch.
    pub fn uses_batch_statistics(&self) -> bool {
        self.batch_statistics
    }

    /// The key of the mask of dropout layer `layer`; `None` if nothing is dropped.
    pub fn dropout_key(&self, layer: u64) -> Option<u64> {
        if let (Some(_), Some(dropped)) = (self.dropout, self.dropped) {
            dropped.borrow_mut().push(layer);
        }
        self.dropout.map(|Draws { seed, repeat, step }| {
            stream_key(seed, Purpose::Dropout, &[repeat, step, layer])
        })
    }

    /// The same pass, in which second classifiers leave what they found.
    #[must_use]
    pub fn with_auxiliaries(self, found: &'a RefCell<Vec<Auxiliary>>) -> Self {
        Self {
            auxiliaries: Some(found),
            ..self
        }
    }

    /// The same pass, which notes the dropout layers that ask for a key.
    #[must_use]
    pub fn with_dropped(self, dropped: &'a RefCell<Vec<u64>>) -> Self {
        Self {
            dropped: Some(dropped),
            ..self
        }
    }

    /// Where second classifiers leave what they found; `None` if nobody asks.
    pub(crate) fn auxiliaries(&self) -> Option<&'a RefCell<Vec<Auxiliary>>> {
        self.auxiliaries
    }

    /// The pass through layers that train.
    pub(crate) fn in_backbone(&self, batch_norm: BatchNormMode) -> Self {
        Self {
            batch_statistics: self.batch_statistics && batch_norm == BatchNormMode::Batch,
            ..*self
        }
    }

    /// The pass through layers that stay as they are: in evaluation mode, on a tape that records nothing. Only batch norm may
    /// be asked to use the batch's statistics.
    pub(crate) fn in_frozen(&self, batch_norm: BatchNormMode, still: &'a Tape) -> Self {
        Self {
            tape: still,
            dropout: None,
            auxiliaries: None,
            ..self.in_backbone(batch_norm)
        }
    }

    pub(crate) fn with_trace(self, trace: &'a Trace) -> Self {
        Self {
            trace: Some(trace),
            ..self
        }
    }

    /// Where layers note what they did, when a summary is made.
    pub fn trace(&self) -> Option<&'a Trace> {
        self.trace
    }
}
