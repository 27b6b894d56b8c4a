//! Published sizes of the networks.

use candle_core::Device;

use crate::{Assembly, Builder, Dimensions, Init, find};

/// Numbers in the parameters for 1000 classes: torchvision's `num_params`; LeNet-5's for three colours, by hand.
const PARAMETERS: &[(&str, usize)] = &[
    ("alexnet", 61_100_840),
    ("lenet5", 456 + 2_416 + 48_120 + 10_164 + 85_000),
    ("resnet18", 11_689_512),
    ("resnet34", 21_797_672),
    ("resnet50", 25_557_032),
    ("resnet101", 44_549_160),
    ("resnet152", 60_192_808),
    ("squeezenet1_0", 1_248_424),
    ("squeezenet1_1", 1_235_496),
    ("vgg11", 132_863_336),
    ("vgg11_bn", 132_868_840),
    ("vgg13", 133_047_848),
    ("vgg13_bn", 133_053_736),
    ("vgg16", 138_357_544),
    ("vgg16_bn", 138_365_992),
    ("vgg19", 143_667_240),
    ("vgg19_bn", 143_678_248),
];

#[test]
fn networks_have_the_published_number_of_parameters() {
    for &(name, count) in PARAMETERS {
        let entry = find(name).unwrap();
        let options = (entry.check)(&toml::Table::new()).unwrap();
        let init = Init { seed: 0, repeat: 0 };
        // Initial weights are not drawn.
        let builder = Builder::new(init, &Device::Cpu, false);
        let dimensions = Dimensions {
            classes: 1000,
            size: entry.default_size,
        };
        let mut assembly = Assembly::new(&builder, dimensions, None, None);
        (entry.build)(&options, &mut assembly).unwrap();
        let parameters = builder.finish().0;
        let found: usize = parameters.iter().map(|p| p.var.elem_count()).sum();
        assert_eq!(found, count, "{name}");
    }
}
