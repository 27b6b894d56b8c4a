//! Against values from `torch` 2.15.0, made by `scripts/golden_ops.py`. The lines above each test are torch's; `dy` is the
//! gradient that `y.backward(dy)` started from. Its maps are (n, c, h, w) and are turned on their way here.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Result, Tensor, Var};
use graft_ops::{
    BatchStatistics, Conv2d, Pool2d, SgdStep, Tape, add, avg_pool2d, batch_norm_eval,
    batch_norm_train, cat, conv2d, cross_entropy, global_avg_pool, linear, max_pool2d, relu,
    sgd_step, softmax, update_running,
};

use crate::arrays::{Array, assert_close, values};

/// The golden values of one file.
pub(crate) struct Golden(HashMap<String, Tensor>);

impl Golden {
    fn load() -> Self {
        Self::of("ops")
    }

    /// Those of `name`.safetensors.
    pub(crate) fn of(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let path = folder.join(format!("{name}.safetensors"));
        Self(candle_core::safetensors::load(path, &Device::Cpu).expect("golden values are there"))
    }

    /// The value as it is used here: all but the weights of convolutions, tensors of four dimensions are maps.
    pub(crate) fn get(&self, key: &str) -> Tensor {
        let value = self
            .0
            .get(key)
            .unwrap_or_else(|| panic!("no golden value {key}"));
        let leaf = key.rsplit('.').next().unwrap_or(key);
        let is_weight = leaf.trim_start_matches('d').starts_with('w');
        if value.rank() != 4 || is_weight {
            return value.clone();
        }
        let turned = value.permute((0, 2, 3, 1));
        turned
            .and_then(|value| value.force_contiguous())
            .expect("four dimensions can be permuted")
    }

    fn var(&self, key: &str) -> Var {
        Var::from_tensor(&self.get(key)).expect("a variable can be made of any tensor")
    }

    #[track_caller]
    pub(crate) fn assert(&self, key: &str, found: &Tensor, tolerance: f64) {
        let expected = self.get(key);
        let array = Array {
            dims: expected.dims().to_vec(),
            values: values(&expected).into_iter().map(f64::from).collect(),
        };
        assert_close(key, found, &array, tolerance);
    }

    /// Runs the op on the case's inputs and compares its result and all gradients.
    #[track_caller]
    pub(crate) fn check(
        &self,
        case: &str,
        leaves: &[&str],
        op: impl Fn(&Tape, &[Var]) -> Result<Tensor>,
    ) {
        let vars: Vec<Var> = leaves
            .iter()
            .map(|leaf| self.var(&format!("{case}.{leaf}")))
            .collect();
        let tape = Tape::recording();
        let y = op(&tape, &vars).expect(case);
        self.assert(&format!("{case}.y"), &y, 3e-6);
        let dy = self.get(&format!("{case}.dy"));
        let gradients = tape.backward_from(&y, &dy).expect(case);
        for (leaf, var) in leaves.iter().zip(&vars) {
            let found = gradients
                .get(var)
                .unwrap_or_else(|| panic!("{case}: no gradient of {leaf}"));
            self.assert(&format!("{case}.d{leaf}"), found, 3e-6);
        }
    }
}

impl Golden {
    /// Checks a convolution, with a bias if the case has one.
    #[track_caller]
    pub(crate) fn check_conv(&self, case: &str, conv: &Conv2d) {
        if self.0.contains_key(&format!("{case}.b")) {
            self.check(case, &["x", "w", "b"], |tape, v| {
                conv2d(tape, &v[0], &v[1], Some(&v[2]), conv)
            });
        } else {
            self.check(case, &["x", "w"], |tape, v| {
                conv2d(tape, &v[0], &v[1], None, conv)
            });
        }
    }
}

fn check_conv(case: &str, conv: &Conv2d) {
    Golden::load().check_conv(case, conv);
}

// F.conv2d(x[2, 3, 17, 23], w[8, 3, 7, 7], stride=2, padding=3)
#[test]
fn conv_of_a_stem() {
    check_conv(
        "conv.stem",
        &Conv2d {
            stride: (2, 2),
            padding: (3, 3),
            ..Conv2d::default()
        },
    );
}

// F.conv2d(x[3, 6, 9, 7], w[10, 6, 3, 3], b, padding=1)
#[test]
fn conv_that_keeps_the_size() {
    check_conv(
        "conv.same",
        &Conv2d {
            padding: (1, 1),
            ..Conv2d::default()
        },
    );
}

// F.conv2d(x[2, 12, 6, 5], w[7, 12, 1, 1], b)
#[test]
fn conv_of_points() {
    check_conv("conv.point", &Conv2d::default());
}

// F.conv2d(x[1, 4, 11, 10], w[6, 4, 1, 5], b, stride=(3, 1), padding=(0, 2), dilation=(1, 2))
#[test]
fn conv_with_uneven_axes() {
    check_conv(
        "conv.uneven",
        &Conv2d {
            stride: (3, 1),
            padding: (0, 2),
            dilation: (1, 2),
            groups: 1,
        },
    );
}

// F.conv2d(x[2, 12, 8, 9], w[18, 4, 3, 2], b, stride=(1, 2), padding=(2, 1), dilation=(2, 1), groups=3)
#[test]
fn conv_in_groups() {
    check_conv(
        "conv.groups",
        &Conv2d {
            stride: (1, 2),
            padding: (2, 1),
            dilation: (2, 1),
            groups: 3,
        },
    );
}

// F.conv2d(x[2, 5, 9, 8], w[10, 1, 3, 3], b, stride=2, padding=1, groups=5)
#[test]
fn conv_by_depth() {
    check_conv(
        "conv.depthwise",
        &Conv2d {
            stride: (2, 2),
            padding: (1, 1),
            dilation: (1, 1),
            groups: 5,
        },
    );
}

// F.linear(x[5, 7], w[3, 7], b)
#[test]
fn linear_layer() {
    Golden::load().check("linear", &["x", "w", "b"], |tape, v| {
        linear(tape, &v[0], &v[1], Some(&v[2]))
    });
}

// F.max_pool2d(x[2, 3, 13, 10], 3, 2, 1)
#[test]
fn max_pool_of_a_stem() {
    let pool = Pool2d {
        kernel: (3, 3),
        stride: (2, 2),
        padding: (1, 1),
        ceil_mode: false,
    };
    Golden::load().check("max.stem", &["x"], |tape, v| max_pool2d(tape, &v[0], &pool));
}

// F.max_pool2d(torch.randint(0, 3, (2, 3, 8, 11)).float(), (3, 2), (2, 3), (1, 0), ceil_mode=True)
#[test]
fn max_pool_gives_the_gradient_to_the_first_of_equals() {
    let pool = Pool2d {
        kernel: (3, 2),
        stride: (2, 3),
        padding: (1, 0),
        ceil_mode: true,
    };
    Golden::load().check("max.ties", &["x"], |tape, v| max_pool2d(tape, &v[0], &pool));
}

// F.avg_pool2d(x[2, 3, 9, 8], 3, 2, 1, ceil_mode=True, count_include_pad=True)
#[test]
fn average_pool_that_counts_padding() {
    let pool = Pool2d {
        kernel: (3, 3),
        stride: (2, 2),
        padding: (1, 1),
        ceil_mode: true,
    };
    Golden::load().check("avg.pad", &["x"], |tape, v| {
        avg_pool2d(tape, &v[0], &pool, true)
    });
}

// F.avg_pool2d(x[2, 3, 9, 8], (3, 4), (2, 3), (1, 2), ceil_mode=True, count_include_pad=False)
#[test]
fn average_pool_that_ignores_padding() {
    let pool = Pool2d {
        kernel: (3, 4),
        stride: (2, 3),
        padding: (1, 2),
        ceil_mode: true,
    };
    Golden::load().check("avg.nopad", &["x"], |tape, v| {
        avg_pool2d(tape, &v[0], &pool, false)
    });
}

// x[3, 4, 5, 7].mean((2, 3))
#[test]
fn average_of_planes() {
    Golden::load().check("avg.global", &["x"], |tape, v| global_avg_pool(tape, &v[0]));
}

// F.batch_norm(x[4, 5, 3, 7], mean, var, w, b, training=True, momentum=0.3, eps=1e-3), with mean and var before and after
#[test]
fn batch_norm_in_training() {
    let golden = Golden::load();
    let found = std::cell::OnceCell::<BatchStatistics>::new();
    golden.check("bn.train", &["x", "w", "b"], |tape, v| {
        let (y, statistics) = batch_norm_train(tape, &v[0], &v[1], &v[2], 1e-3)?;
        found.set(statistics).expect("it runs once");
        Ok(y)
    });
    let (mean, var) = (golden.var("bn.mean0"), golden.var("bn.var0"));
    let found = found.get().expect("it ran");
    assert_eq!(found.count, 4 * 3 * 7);
    update_running(&mean, &var, found, 0.3).expect("more than one value per channel");
    golden.assert("bn.mean1", &mean, 1e-6);
    golden.assert("bn.var1", &var, 1e-6);
}

// F.batch_norm(x[4, 5, 3, 7], mean, var, w, b, training=False, eps=1e-5)
#[test]
fn batch_norm_in_evaluation() {
    let golden = Golden::load();
    let (mean, var) = (golden.get("bn.mean1"), golden.get("bn.var1"));
    golden.check("bn.eval", &["x", "w", "b"], |tape, v| {
        batch_norm_eval(tape, &v[0], &mean, &var, &v[1], &v[2], 1e-5)
    });
}

// torch.relu(torch.tensor([-1.0, -0.0, 0.0, 1e-30, 2.0]))
#[test]
fn relu_has_no_gradient_at_zero() {
    Golden::load().check("relu", &["x"], |tape, v| relu(tape, &v[0]));
}

// F.cross_entropy(torch.randn(6, 5) * 30, torch.tensor([0, 4, 2, 2, 1, 3])) and x.softmax(1)
#[test]
fn cross_entropy_and_softmax() {
    let golden = Golden::load();
    golden.check("ce", &["x"], |tape, v| {
        cross_entropy(tape, &v[0], &[0, 4, 2, 2, 1, 3])
    });
    let probabilities = softmax(&golden.get("ce.x")).expect("(n, k)");
    golden.assert("ce.softmax", &probabilities, 1e-6);
}

// torch.optim.SGD([p], lr=0.05, momentum=0.9, weight_decay=0.01), ten steps with p.grad = grads[i]
#[test]
fn ten_steps_of_sgd() -> Result<()> {
    let golden = Golden::load();
    let p = golden.var("sgd.p0");
    let velocity = Var::from_tensor(&p.zeros_like()?)?;
    let step = SgdStep {
        lr: 0.05,
        momentum: 0.9,
        weight_decay: 0.01,
        ..SgdStep::default()
    };
    for i in 0..10 {
        sgd_step(&p, &golden.get("sgd.grads").get(i)?, &velocity, &step)?;
    }
    golden.assert("sgd.p10", &p, 1e-6);
    golden.assert("sgd.v10", &velocity, 1e-6);
    Ok(())
}

// y = F.relu(F.batch_norm(F.conv2d(x, w1, stride=2, padding=1), None, None, g, h, training=True))
// y = F.relu(F.conv2d(y, w2, padding=1) + y)
// y = F.max_pool2d(y, 2)
// y = torch.cat([y, y * 1], 3)
// F.cross_entropy(F.linear(y.mean((2, 3)), fc, fb), torch.tensor([1, 0, 4]))
#[test]
fn a_whole_network() {
    let leaves = ["x", "w1", "w2", "g", "h", "fc", "fb"];
    Golden::load().check("net", &leaves, |tape, v| {
        let same = Conv2d {
            padding: (1, 1),
            ..Conv2d::default()
        };
        let halved = Conv2d {
            stride: (2, 2),
            ..same
        };
        let y = conv2d(tape, &v[0], &v[1], None, &halved)?;
        let y = relu(tape, &batch_norm_train(tape, &y, &v[3], &v[4], 1e-5)?.0)?;
        let y = relu(
            tape,
            &add(tape, &conv2d(tape, &y, &v[2], None, &same)?, &y)?,
        )?;
        let y = max_pool2d(tape, &y, &Pool2d::square(2))?;
        let y = global_avg_pool(tape, &cat(tape, &[&y, &y], 2)?)?;
        cross_entropy(tape, &linear(tape, &y, &v[5], Some(&v[6]))?, &[1, 0, 4])
    });
}
