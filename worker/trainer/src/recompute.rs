//! The way back through layers whose inner results were not kept: activation checkpointing (Chen et al., "Training deep
//! nets with sublinear memory cost", 2016). Each segment of a forward pass keeps what came in and computes the rest
//! again when its gradient is due: about a third more work for a fraction of the memory.

use crate::dropout::Dropout;
use crate::failure::Result;
use std::borrow::Borrow;
use tch::{Kind, Tensor, no_grad};

/// What a segment computes: from its input, and from what all segments share.
type Run<'m> = Box<dyn Fn(&Tensor, &[Tensor], &mut Dropout) -> Tensor + 'm>;

/// What a forward pass leaves for the way back, beside libtorch's graph.
pub struct Tape<'m> {
    recomputes: bool,
    segments: Vec<Segment<'m>>,
    shared: Vec<Tensor>,
}

struct Segment<'m> {
    run: Run<'m>,
    /// As the graph before the segment has it.
    input: Tensor,
    /// As it stood before the segment.
    dropout: Dropout,
    /// With it the graph behind the segment begins.
    output: Tensor,
}

impl<'m> Tape<'m> {
    /// Of a pass whose segments compute everything again, or of a plain one, which libtorch keeps whole.
    #[must_use]
    pub fn new(recomputes: bool) -> Self {
        Self {
            recomputes,
            segments: Vec::new(),
            shared: Vec::new(),
        }
    }

    /// `run` of `input` and of what is `shared`, which must be the same for all segments of a pass.
    pub(crate) fn segment(
        &mut self,
        input: Tensor,
        shared: &[Tensor],
        dropout: &mut Dropout,
        run: impl Fn(&Tensor, &[Tensor], &mut Dropout) -> Tensor + 'm,
    ) -> Tensor {
        if !self.recomputes {
            return run(&input, shared, dropout);
        }
        self.shared = copies(shared);
        let before = dropout.clone();
        dropout.seed_segment(&input);
        // With a graph, which is dropped at once: only so it is known whether anything in here is trained.
        let output = run(&leaf(&input), &leaves(shared), dropout);
        if !output.requires_grad() {
            return output;
        }
        let output = output.detach().set_requires_grad(true);
        self.segments.push(Segment {
            run: Box::new(run),
            input,
            dropout: before,
            output: output.shallow_clone(),
        });
        output
    }

    /// Gradients of the scalar `loss` for `parameters`, as libtorch's `backward` gives them: not defined for what `loss`
    /// does not depend on. The values of each are summed in the order in which libtorch does.
    ///
    /// # Errors
    ///
    /// What libtorch refuses.
    pub(crate) fn backward<T: Borrow<Tensor>>(mut self, loss: &Tensor, parameters: &[T]) -> Result<Vec<Tensor>> {
        let parameters: Vec<&Tensor> = parameters.iter().map(Borrow::borrow).collect();
        let mut sums = Sums::new(parameters.len());
        let mut shared = Sums::new(self.shared.len());
        let mut root = Some(loss.shallow_clone());
        while let Some(segment) = self.segments.pop() {
            let Some(loss) = root.take() else { break };
            let mut wanted = parameters.clone();
            wanted.push(&segment.output);
            // The graph is kept, for what lies between two segments may have read what came before both.
            let mut gradients = Tensor::f_run_backward(&[&loss], &wanted, true, false)?;
            let of_output = gradients.pop().filter(Tensor::defined);
            sums.add(gradients);
            let Some(of_output) = of_output else { break };
            root = segment.backward(&of_output, &parameters, &self.shared, &mut sums, &mut shared)?;
        }
        let mut roots: Vec<Tensor> = root.into_iter().collect();
        for (tensor, gradient) in self.shared.iter().zip(&shared.0) {
            roots.extend(weighted(tensor, gradient));
        }
        if !roots.is_empty() {
            sums.add(Tensor::f_run_backward(&roots, &parameters, false, false)?);
        }
        Ok(sums.0)
    }
}

impl Segment<'_> {
    /// Computes again, adds the gradients of what is in here, and gives the scalar whose gradients are those of what came
    /// before; `None` where nothing there is trained.
    fn backward(
        &self,
        of_output: &Tensor,
        parameters: &[&Tensor],
        shared: &[Tensor],
        sums: &mut Sums,
        of_shared: &mut Sums,
    ) -> Result<Option<Tensor>> {
        let (input, shared) = (leaf(&self.input), leaves(shared));
        let mut dropout = self.dropout.clone();
        dropout.seed_segment(&input);
        let output = (self.run)(&input, &shared, &mut dropout);
        let root = weighted(&output, of_output);
        let mut wanted = parameters.to_vec();
        wanted.extend(shared.iter().filter(|tensor| tensor.requires_grad()));
        if input.requires_grad() {
            wanted.push(&input);
        }
        let mut gradients = Tensor::f_run_backward(root.as_slice(), &wanted, false, false)?;
        let of_input = if input.requires_grad() { gradients.pop() } else { None };
        let mut of_those = gradients.split_off(parameters.len()).into_iter();
        sums.add(gradients);
        let all = shared.iter().map(|tensor| match tensor.requires_grad() {
            true => of_those.next().unwrap_or_else(Tensor::new),
            false => Tensor::new(),
        });
        of_shared.add(all.collect());
        Ok(of_input.and_then(|gradient| weighted(&self.input, &gradient)))
    }
}

/// A scalar whose gradient with respect to `tensor` is `gradient`, to the bit; `None` where nothing can come of it.
fn weighted(tensor: &Tensor, gradient: &Tensor) -> Option<Tensor> {
    (gradient.defined() && tensor.requires_grad()).then(|| (tensor * gradient).sum(Kind::Float))
}

/// The same values at the beginning of a graph of their own.
fn leaf(tensor: &Tensor) -> Tensor {
    tensor.detach().set_requires_grad(tensor.requires_grad())
}

fn leaves(tensors: &[Tensor]) -> Vec<Tensor> {
    tensors.iter().map(leaf).collect()
}

fn copies(tensors: &[Tensor]) -> Vec<Tensor> {
    tensors.iter().map(Tensor::shallow_clone).collect()
}

/// Sums of gradients, each not defined until there is one.
struct Sums(Vec<Tensor>);

impl Sums {
    fn new(count: usize) -> Self {
        Self((0..count).map(|_| Tensor::new()).collect())
    }

    fn add(&mut self, gradients: Vec<Tensor>) {
        no_grad(|| {
            for (sum, gradient) in self.0.iter_mut().zip(gradients) {
                match (gradient.defined(), sum.defined()) {
                    (false, _) => {}
                    (true, false) => *sum = gradient,
                    (true, true) => *sum = &*sum + gradient,
                }
            }
        });
    }
}
