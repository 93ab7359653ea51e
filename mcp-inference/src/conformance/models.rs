//! What every model keeps.

use std::time::Instant;

use futures_util::FutureExt as _;
use mcp_core::{
    Error, ErrorKind, Scope,
    conformance::{Failure, Outcome, Report, ensure, scope_of},
};

use crate::model::{Datatype, Dimension, Model, Tensor, TensorData, TensorSpec};

/// Runs every case. `inputs` are good ones of the model, whose computation takes a millisecond or more.
pub async fn run_model(model: &dyn Model, inputs: &[Tensor]) -> Report {
    let mut report = Report::default();
    report.cases.push(("metadata_never_changes", metadata_never_changes(model, inputs).await));
    report.cases.push(("outputs_are_those_of_the_metadata", outputs_are_as_said(model, inputs).await));
    report.cases.push(("inputs_come_in_any_order", any_order(model, inputs).await));
    report.cases.push(("a_bad_input_is_refused_and_named", bad_inputs(model, inputs).await));
    report.cases.push(("equal_inputs_give_equal_outputs", equal_outputs(model, inputs).await));
    report.cases.push(("a_deadline_that_has_passed_computes_nothing", deadline(model, inputs).await));
    report.cases.push(("nothing_is_computed_on_the_callers_thread", other_thread(model, inputs).await));
    report
}

fn acme() -> Result<Scope, Error> {
    scope_of("acme")
}

async fn metadata_never_changes(model: &dyn Model, inputs: &[Tensor]) -> Outcome {
    let before = format!("{:?}", model.metadata());
    model.infer(&acme()?, inputs.to_vec()).await?;
    let after = format!("{:?}", model.metadata());
    ensure(before == after, format!("{before} became {after}"))?;
    let unnamed = |specs: &[TensorSpec]| specs.is_empty() || specs.iter().any(|spec| spec.name.is_empty());
    let metadata = model.metadata();
    ensure(!unnamed(&metadata.inputs) && !unnamed(&metadata.outputs), format!("{metadata:?}"))
}

async fn outputs_are_as_said(model: &dyn Model, inputs: &[Tensor]) -> Outcome {
    let outputs = model.infer(&acme()?, inputs.to_vec()).await?;
    let specs = &model.metadata().outputs;
    ensure(outputs.len() == specs.len(), format!("{} outputs, {} were said", outputs.len(), specs.len()))?;
    for (output, spec) in outputs.iter().zip(specs) {
        let fits = output.name() == spec.name && output.datatype() == spec.datatype && fits(output, spec);
        ensure(fits, format!("{} of {:?} is not {spec:?}", output.name(), output.shape()))?;
    }
    Ok(())
}

fn fits(output: &Tensor, spec: &TensorSpec) -> bool {
    output.shape().len() == spec.shape.len()
        && output.shape().iter().zip(&spec.shape).all(|(extent, said)| match said {
            Dimension::Fixed(fixed) => extent == fixed,
            _ => true,
        })
}

async fn any_order(model: &dyn Model, inputs: &[Tensor]) -> Outcome {
    let turned: Vec<Tensor> = inputs.iter().rev().cloned().collect();
    let scope = acme()?;
    let (one, other) = (model.infer(&scope, inputs.to_vec()).await?, model.infer(&scope, turned).await?);
    ensure(one == other, "another order of the inputs gave other outputs")
}

async fn bad_inputs(model: &dyn Model, inputs: &[Tensor]) -> Outcome {
    for (index, input) in inputs.iter().enumerate() {
        let without: Vec<Tensor> =
            inputs.iter().filter(|other| other.name() != input.name()).cloned().collect();
        let with = |tensor: Tensor| {
            let mut inputs = inputs.to_vec();
            inputs[index] = tensor;
            inputs
        };
        let mut doubled = inputs.to_vec();
        doubled.push(input.clone());
        let mut unknown = inputs.to_vec();
        unknown.push(renamed(input, "no_such_input")?);
        refused(model, without, input.name(), "missing").await?;
        refused(model, doubled, input.name(), "doubled").await?;
        refused(model, unknown, "no_such_input", "unknown").await?;
        refused(model, with(retyped(input)?), input.name(), "wrongly typed").await?;
        refused(model, with(reshaped(input)?), input.name(), "wrongly shaped").await?;
    }
    Ok(())
}

async fn refused(model: &dyn Model, inputs: Vec<Tensor>, name: &str, how: &str) -> Outcome {
    match model.infer(&acme()?, inputs).await {
        Err(error) if error.kind() == ErrorKind::InvalidInput && error.message().contains(name) => Ok(()),
        Err(error) => Err(Failure::from(format!("`{name}`, {how}, was refused with {error}"))),
        Ok(_) => Err(Failure::from(format!("`{name}`, {how}, was taken"))),
    }
}

fn renamed(input: &Tensor, name: &str) -> Result<Tensor, Error> {
    Tensor::new(name, input.shape().to_vec(), input.data().clone())
}

fn retyped(input: &Tensor) -> Result<Tensor, Error> {
    let length = input.data().len();
    let data = match input.datatype() {
        Datatype::Uint8 => TensorData::Int8(vec![0; length]),
        _ => TensorData::Uint8(vec![0; length]),
    };
    Tensor::new(input.name(), input.shape().to_vec(), data)
}

/// The same elements along one axis more.
fn reshaped(input: &Tensor) -> Result<Tensor, Error> {
    let shape = std::iter::once(1).chain(input.shape().iter().copied()).collect();
    Tensor::new(input.name(), shape, input.data().clone())
}

async fn equal_outputs(model: &dyn Model, inputs: &[Tensor]) -> Outcome {
    let (acme, globex) = (acme()?, scope_of("globex")?);
    let first = model.infer(&acme, inputs.to_vec()).await?;
    let at_once = [&acme, &globex, &acme, &globex].map(|scope| model.infer(scope, inputs.to_vec()));
    for outputs in futures_util::future::join_all(at_once).await {
        ensure(outputs? == first, "equal inputs gave other outputs")?;
    }
    Ok(())
}

async fn deadline(model: &dyn Model, inputs: &[Tensor]) -> Outcome {
    let scope = acme()?.with_deadline(Instant::now());
    match model.infer(&scope, inputs.to_vec()).await {
        Err(error) if error.kind() == ErrorKind::DeadlineExceeded => Ok(()),
        other => Err(Failure::from(format!("after the deadline it answered {other:?}"))),
    }
}

async fn other_thread(model: &dyn Model, inputs: &[Tensor]) -> Outcome {
    let scope = acme()?;
    let computed = model.infer(&scope, inputs.to_vec()).now_or_never();
    ensure(computed.is_none(), "the answer was there before anybody waited: the caller's thread computed it")
}
