//! Readers, a committer and a writer at the same time.

use std::sync::mpsc;

use super::super::TreeError;
use super::*;
use crate::state::{Read, StateRead};

/// Each version puts its number under a few keys of its own choice; what a reader sees at a
/// version has to be that version, while others commit, write and prune.
#[test]
fn readers_see_one_version_while_others_commit_apply_and_prune() {
    const VERSIONS: u64 = 300;
    let (tree, store) = empty_tree(6);
    let tree = Arc::new(tree);
    let (sender, receiver) = mpsc::sync_channel(4);
    let mut dice = Dice(11);
    let mut models = vec![Model::new()];
    let mut histories = Vec::new();
    for _ in 0..VERSIONS {
        let mut model = models[models.len() - 1].clone();
        let writes: Writes = (0..30)
            .map(|_| {
                let key = [&[2, 0][..], &dice.below(300).to_be_bytes()].concat();
                (key, (dice.below(3) > 0).then(|| dice.bytes(8)))
            })
            .collect();
        apply(&mut model, &writes);
        models.push(model);
        histories.push(writes);
    }
    commit(&tree, &*store, 0, &Writes::new());
    std::thread::scope(|scope| {
        let writer = scope.spawn({
            let (tree, store) = (Arc::clone(&tree), Arc::clone(&store));
            move || {
                for (version, batch) in receiver {
                    store.commit(batch, version).unwrap();
                    tree.applied(version);
                }
            }
        });
        let readers: Vec<_> = (0..2)
            .map(|seed| {
                let (tree, models) = (Arc::clone(&tree), &models);
                scope.spawn(move || read_until_the_last(&tree, models, VERSIONS, seed))
            })
            .collect();
        for (version, writes) in (1..).zip(&histories) {
            let (_, batch) = tree.commit(version, writes).unwrap();
            sender.send((version, batch)).unwrap();
        }
        drop(sender);
        writer.join().unwrap();
        readers
            .into_iter()
            .for_each(|reader| reader.join().unwrap());
    });
}

fn read_until_the_last(tree: &StateTree, models: &[Model], last: u64, seed: u64) {
    let mut dice = Dice(seed);
    loop {
        let kept = tree.kept().unwrap();
        let version = kept.start() + dice.below(kept.end() - kept.start() + 1);
        let model = &models[version as usize];
        match read_once(tree, version, model, &mut dice) {
            Ok(()) | Err(TreeError::UnknownVersion(_)) => {}
            Err(error) => panic!("version {version}: {error}"),
        }
        if *kept.end() == last {
            break;
        }
    }
}

fn read_once(
    tree: &StateTree,
    version: u64,
    model: &Model,
    dice: &mut Dice,
) -> Result<(), TreeError> {
    let view = tree.view(version)?;
    assert_eq!(view.root(), naive_root(model));
    let (from, to) = ([2, 0].to_vec(), [2, 0, 0, 0, 0, 0, 0, 0, 1].to_vec());
    let rows = view.pairs(&from, &to, 1_000)?;
    let expected: Vec<_> = model
        .range(from..to)
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    assert_eq!(rows, expected);
    let key = [&[2, 0][..], &dice.below(300).to_be_bytes()].concat();
    assert_eq!(view.get(&key)?.as_ref(), model.get(&key));
    let proof = tree.prove(version, &[Read::Key(key.clone())])?;
    let shown = proof.verify(&view.root()).unwrap();
    assert_eq!(shown.get(&key).unwrap().as_ref(), model.get(&key));
    Ok(())
}
