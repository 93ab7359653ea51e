//! The promises of [`VectorIndex`].

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use futures_util::future::join_all;
use mcp_core::{
    ErrorKind, Result, Scope,
    conformance::{Cut, Outcome, cancel_at},
};

use super::{Check, acme, ensure, ensure_eq, ensure_error, globex};
use crate::{
    memory::{MemoryId, Namespace},
    vector::{Changes, Space, Vector, VectorIndex},
};

type Index = Arc<dyn VectorIndex>;

/// The suite of [`VectorIndex`].
pub const VECTOR_INDEX: &[Check<dyn VectorIndex>] = &[
    ("the_nearest_come_first", |index| Box::pin(the_nearest_come_first(index))),
    ("each_is_found_once_in_its_last_form", |index| Box::pin(each_is_found_once(index))),
    ("in_step_or_silent", |index| Box::pin(in_step_or_silent(index))),
    ("changes_fit_or_do_nothing", |index| Box::pin(changes_fit_or_do_nothing(index))),
    ("tenants_and_spaces_are_kept_apart", |index| Box::pin(kept_apart(index))),
    ("vectors_are_checked", |index| Box::pin(vectors_are_checked(index))),
    ("removed_is_never_found", |index| Box::pin(removed_is_never_found(index))),
    ("many_are_found_as_if_all_were_compared", |index| Box::pin(many_are_found(index))),
    ("writers_and_readers_at_once", |index| Box::pin(writers_and_readers_at_once(index))),
    ("dropped_calls_are_whole_or_nothing", |index| Box::pin(dropped_calls(index))),
];

const DIMENSIONS: usize = 16;

/// Vectors in clusters, as texts of the same subject are: `count` of them with 16 numbers each, always the same.
/// The `n`th belongs to cluster `n % 50`.
#[must_use]
pub fn clustered(count: usize) -> Vec<Vec<f32>> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
    };
    let mut vector = move || -> Vec<f32> { (0..DIMENSIONS).map(|_| random()).collect() };
    let centres: Vec<_> = (0..50).map(|_| vector()).collect();
    let near = |n: usize| centres[n % 50].iter().zip(vector()).map(|(at, off)| at + 0.3 * off).collect();
    (0..count).map(near).collect()
}

fn space() -> Result<Space> {
    Ok(Space { namespace: Namespace::parse("user/u")?, model: "m".to_owned(), dimensions: DIMENSIONS })
}

fn with_ids(vectors: Vec<Vec<f32>>) -> Vec<Vector> {
    vectors.into_iter().map(|numbers| Vector { id: MemoryId::generate(), numbers }).collect()
}

/// A vector that points where the `n`th axis does.
fn axis(n: usize) -> Vec<f32> {
    (0..DIMENSIONS).map(|at| if at == n { 1.0 } else { 0.0 }).collect()
}

async fn build(index: &Index, scope: &Scope, until: i64, added: &[Vector]) -> Result<()> {
    let changes = Changes { since: None, until, added: added.to_vec(), removed: Vec::new() };
    index.apply(scope, &space()?, changes).await
}

async fn add(index: &Index, scope: &Scope, since: i64, added: &[Vector]) -> Result<()> {
    let changes = Changes { since: Some(since), until: since + 1, added: added.to_vec(), removed: vec![] };
    index.apply(scope, &space()?, changes).await
}

async fn found(
    index: &Index,
    scope: &Scope,
    version: i64,
    query: &[f32],
    limit: usize,
) -> Result<Vec<MemoryId>> {
    let near = index.search(scope, &space()?, version, query, limit).await?.unwrap_or_default();
    Ok(near.into_iter().map(|near| near.id).collect())
}

async fn the_nearest_come_first(index: Index) -> Outcome {
    let (scope, mut given) = (acme()?, Vec::new());
    for (a, b) in [(1.0, 0.0), (3.0, 3.0), (0.0, 2.0), (-1.0, 0.0), (0.0, 0.0)] {
        let numbers = (0..DIMENSIONS).map(|at| [a, b].get(at).copied().unwrap_or(0.0)).collect();
        given.push(numbers);
    }
    let vectors = with_ids(given);
    build(&index, &scope, 1, &vectors).await?;
    let near = index.search(&scope, &space()?, 1, &axis(0), 10).await?.unwrap_or_default();
    ensure_eq(near.len(), 5, "how many are found")?;
    let order: Vec<_> = near.iter().map(|near| vectors.iter().position(|v| v.id == near.id)).collect();
    ensure_eq(
        (order[0], order[1], order[4]),
        (Some(0), Some(1), Some(3)),
        "the order by angle, whatever the length",
    )?;
    for (near, expected) in near.iter().zip([1.0, 0.5_f32.sqrt(), 0.0, 0.0, -1.0]) {
        ensure((near.similarity - expected).abs() < 1e-5, format!("{near:?} instead of {expected}"))?;
    }
    ensure_eq(found(&index, &scope, 1, &axis(0), 2).await?.len(), 2, "how many of two are found")?;
    ensure_eq(index.len(&scope, &space()?).await?, 5, "how many there are")
}

async fn each_is_found_once(index: Index) -> Outcome {
    let scope = acme()?;
    let mut vectors = with_ids(vec![axis(0), axis(1)]);
    build(&index, &scope, 1, &vectors).await?;
    for (version, at) in [(1, 2), (2, 3)] {
        vectors[0].numbers = axis(at);
        add(&index, &scope, version, &vectors[..1]).await?;
    }
    let near = index.search(&scope, &space()?, 3, &axis(3), 10).await?.unwrap_or_default();
    ensure_eq(near.len(), 2, "how many are found after one was replaced twice")?;
    ensure(near[0].id == vectors[0].id && near[0].similarity > 0.99, "the last form is not found")?;
    ensure_eq(index.len(&scope, &space()?).await?, 2, "how many there are")
}

async fn in_step_or_silent(index: Index) -> Outcome {
    let (scope, space, vectors) = (acme()?, space()?, with_ids(vec![axis(0)]));
    ensure_eq(index.version(&scope, &space).await?, None, "the version of what is yet to be built")?;
    let nothing = index.search(&scope, &space, 0, &axis(0), 1).await?;
    ensure(nothing.is_none(), "an index that is yet to be built answers")?;
    build(&index, &scope, 7, &vectors).await?;
    ensure_eq(index.version(&scope, &space).await?, Some(7), "the version that was built")?;
    for (version, answers) in [(6, true), (7, true), (8, false)] {
        let near = index.search(&scope, &space, version, &axis(0), 1).await?;
        ensure_eq(near.is_some(), answers, &format!("whether version 7 answers for {version}"))?;
    }
    add(&index, &scope, 7, &[]).await?;
    ensure_eq(found(&index, &scope, 8, &axis(0), 1).await?, vec![vectors[0].id], "what is found in version 8")
}

async fn changes_fit_or_do_nothing(index: Index) -> Outcome {
    let scope = acme()?;
    let vectors = with_ids((0..4).map(axis).collect());
    // To what is yet to be built nothing can be added.
    add(&index, &scope, 3, &vectors[..1]).await?;
    ensure_eq(index.len(&scope, &space()?).await?, 0, "what was added to nothing")?;
    build(&index, &scope, 3, &vectors[..1]).await?;
    add(&index, &scope, 4, &vectors[1..2]).await?;
    ensure_eq(index.version(&scope, &space()?).await?, Some(3), "the version after a gap")?;
    ensure_eq(index.len(&scope, &space()?).await?, 1, "what was added after a gap")?;
    let (gone, until) = (vectors[0].id, 5);
    let changes = Changes { since: Some(3), until, added: vectors[2..3].to_vec(), removed: vec![gone] };
    index.apply(&scope, &space()?, changes).await?;
    // An older step that comes late brings nothing back.
    add(&index, &scope, 3, &vectors[..1]).await?;
    ensure_eq(index.version(&scope, &space()?).await?, Some(5), "the version after a late step")?;
    ensure_eq(found(&index, &scope, 5, &axis(0), 9).await?, vec![vectors[2].id], "what there is then")?;
    // One that overlaps does what is left of it.
    let changes = Changes { since: Some(4), until: 6, added: vectors[2..].to_vec(), removed: vec![] };
    index.apply(&scope, &space()?, changes).await?;
    ensure_eq(index.version(&scope, &space()?).await?, Some(6), "the version after an overlapping step")?;
    ensure_eq(index.len(&scope, &space()?).await?, 2, "what there is after it")?;
    build(&index, &scope, 2, &vectors[..1]).await?;
    ensure_eq(found(&index, &scope, 2, &axis(0), 9).await?, vec![vectors[0].id], "what is built anew")
}

async fn kept_apart(index: Index) -> Outcome {
    let (acme, globex) = (acme()?, globex()?);
    let vectors = with_ids(vec![axis(0)]);
    build(&index, &acme, 1, &vectors).await?;
    let user = space()?;
    let others = [
        (&globex, user.clone()),
        (&acme, Space { namespace: Namespace::parse("user/v")?, ..user.clone() }),
        (&acme, Space { namespace: Namespace::parse("agent/u")?, ..user.clone() }),
        (&acme, Space { model: "other".to_owned(), ..user.clone() }),
    ];
    for (scope, space) in &others {
        let what = format!("{space:?} of {}", scope.tenant());
        ensure_eq(index.version(scope, space).await?, None, &what)?;
        ensure(index.search(scope, space, 0, &axis(0), 9).await?.is_none(), format!("found in {what}"))?;
        let own = with_ids(vec![axis(1)]);
        let changes = Changes { since: None, until: 1, added: own.clone(), removed: vec![vectors[0].id] };
        index.apply(scope, space, changes).await?;
        let near = index.search(scope, space, 1, &axis(0), 9).await?.unwrap_or_default();
        ensure_eq(near.iter().map(|near| near.id).collect(), vec![own[0].id], &what)?;
    }
    let flat = Space { dimensions: 1, ..user };
    ensure(index.search(&acme, &flat, 0, &[1.0], 9).await?.is_none(), "found in another dimension")?;
    ensure_eq(found(&index, &acme, 1, &axis(0), 9).await?, vec![vectors[0].id], "what is left of the first")
}

async fn vectors_are_checked(index: Index) -> Outcome {
    let (scope, space, vectors) = (acme()?, space()?, with_ids(vec![axis(0), axis(1)]));
    build(&index, &scope, 1, &vectors[..1]).await?;
    let with =
        |number: f32| -> Vec<f32> { (0..DIMENSIONS).map(|at| if at == 3 { number } else { 1.0 }).collect() };
    for odd in [vec![], vec![1.0; DIMENSIONS + 1], with(f32::NAN), with(f32::INFINITY)] {
        let step = [vectors[1].clone(), Vector { id: MemoryId::generate(), numbers: odd.clone() }];
        let refused = add(&index, &scope, 1, &step).await;
        ensure_error(refused, ErrorKind::InvalidInput, &format!("{odd:?}"))?;
        let refused = index.search(&scope, &space, 1, &odd, 1).await;
        ensure_error(refused, ErrorKind::InvalidInput, &format!("a search for {odd:?}"))?;
    }
    ensure_eq(index.version(&scope, &space).await?, Some(1), "the version after what was refused")?;
    ensure_eq(found(&index, &scope, 1, &axis(1), 9).await?, vec![vectors[0].id], "what there is then")?;
    add(&index, &scope, 1, &[Vector { id: vectors[1].id, numbers: with(f32::MAX) }]).await?;
    ensure_eq(found(&index, &scope, 2, &axis(3), 1).await?, vec![vectors[1].id], "one with a large number")
}

async fn removed_is_never_found(index: Index) -> Outcome {
    let scope = acme()?;
    let mut vectors = with_ids(clustered(900));
    build(&index, &scope, 0, &vectors).await?;
    let mut version = 0;
    // More than once, so that the places of what is gone are taken by others.
    for _ in 0..3 {
        let gone = vectors.split_off(450);
        let changes = Changes {
            since: Some(version),
            until: version + 1,
            added: Vec::new(),
            removed: gone.iter().map(|vector| vector.id).collect(),
        };
        index.apply(&scope, &space()?, changes).await?;
        let here: BTreeSet<_> = vectors.iter().map(|vector| vector.id).collect();
        for vector in gone.iter().step_by(17) {
            let near = found(&index, &scope, version + 1, &vector.numbers, 20).await?;
            ensure_eq(near.len(), 20, "how many are found after others were removed")?;
            ensure(near.iter().all(|id| here.contains(id)), "what was removed is found")?;
        }
        vectors.extend(with_ids(clustered(900).split_off(450)));
        add(&index, &scope, version + 1, &vectors[450..]).await?;
        version += 2;
        ensure_eq(index.len(&scope, &space()?).await?, 900, "how many there are with new ones")?;
    }
    Ok(())
}

async fn many_are_found(index: Index) -> Outcome {
    const NEAREST: usize = 10;
    let (scope, vectors) = (acme()?, with_ids(clustered(3000)));
    build(&index, &scope, 0, &vectors[..1000]).await?;
    for (version, some) in vectors[1000..].chunks(250).enumerate() {
        add(&index, &scope, version as i64, some).await?;
    }
    ensure_eq(index.len(&scope, &space()?).await?, 3000, "how many there are")?;
    let length = |v: &[f32]| v.iter().map(|n| n * n).sum::<f32>().sqrt();
    let lengths: HashMap<_, _> = vectors.iter().map(|vector| (vector.id, length(&vector.numbers))).collect();
    let (mut right, mut asked) = (0, 0);
    for query in vectors.iter().step_by(60) {
        let mut exact: Vec<_> = vectors
            .iter()
            .map(|vector| {
                let dot: f32 = vector.numbers.iter().zip(&query.numbers).map(|(a, b)| a * b).sum();
                (dot / lengths[&vector.id], vector.id)
            })
            .collect();
        exact.sort_by(|a, b| b.0.total_cmp(&a.0));
        let exact: BTreeSet<_> = exact[..NEAREST].iter().map(|(_, id)| *id).collect();
        let near = found(&index, &scope, 8, &query.numbers, NEAREST).await?;
        ensure_eq(near.first(), Some(&query.id), "what is nearest to itself")?;
        right += near.iter().filter(|id| exact.contains(id)).count();
        asked += NEAREST;
    }
    let recall = right as f64 / asked as f64;
    ensure(recall >= 0.95, format!("of the ten nearest {recall} are found"))
}

async fn writers_and_readers_at_once(index: Index) -> Outcome {
    let scope = acme()?;
    let vectors = with_ids(clustered(1200));
    build(&index, &scope, 0, &vectors[..200]).await?;
    let write = async {
        for (version, some) in vectors[200..].chunks(50).enumerate() {
            add(&index, &scope, version as i64, some).await?;
        }
        Ok::<(), mcp_core::Error>(())
    };
    let read = async |reader: usize| -> Result<usize> {
        let mut least = usize::MAX;
        for query in vectors.iter().skip(reader).step_by(40) {
            least = least.min(found(&index, &scope, 0, &query.numbers, 10).await?.len());
        }
        Ok(least)
    };
    let (written, least) = tokio::join!(write, join_all((0..32).map(read)));
    written?;
    let least = least.into_iter().collect::<Result<Vec<_>>>()?;
    ensure(least.iter().all(|least| *least == 10), format!("searches found {least:?} instead of 10"))?;
    for vector in vectors.iter().step_by(30) {
        let near = found(&index, &scope, 20, &vector.numbers, 1).await?;
        ensure_eq(near, vec![vector.id], "what is nearest to itself")?;
    }
    Ok(())
}

async fn dropped_calls(index: Index) -> Outcome {
    let scope = acme()?;
    let vectors = with_ids(clustered(200));
    build(&index, &scope, 0, &[]).await?;
    for (n, vector) in vectors.iter().enumerate() {
        let (version, polls) = (n as i64, n + 1);
        let step = std::slice::from_ref(vector);
        let cut = cancel_at(polls, add(&index, &scope, version, step)).await;
        // As who follows does: from the version that it has.
        add(&index, &scope, version, step).await?;
        ensure_eq(index.version(&scope, &space()?).await?, Some(version + 1), "the version")?;
        ensure_eq(index.len(&scope, &space()?).await?, n + 1, "how many there are")?;
        if matches!(cut, Cut::Completed(_)) {
            return Ok(());
        }
    }
    Err("no call was long enough to finish".to_owned().into())
}
