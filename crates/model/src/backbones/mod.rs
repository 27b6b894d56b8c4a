//! The networks, one file each.

pub(crate) mod alexnet;
mod basic_conv;
pub(crate) mod convnet;
pub(crate) mod convnext;
pub(crate) mod dinov2;
pub(crate) mod googlenet;
pub(crate) mod inception_v3;
mod inverted_residual;
pub(crate) mod lenet5;
pub(crate) mod mobilenet_v1;
pub(crate) mod mobilenet_v2;
pub(crate) mod mobilenet_v3;
pub(crate) mod mobilenetv4;
pub(crate) mod resnet;
pub(crate) mod squeezenet;
pub(crate) mod tf_efficientnet;
pub(crate) mod vgg;
pub(crate) mod vit;
pub(crate) mod xception;

#[cfg(test)]
mod published;
