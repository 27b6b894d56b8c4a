//! The networks, one file each.

pub(crate) mod convnet;
pub(crate) mod resnet;
pub(crate) mod squeezenet;
