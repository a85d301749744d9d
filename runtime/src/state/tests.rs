use super::*;

fn state() -> MapState {
    MapState((0..10u8).map(|key| (vec![key], vec![key, key])).collect())
}

#[test]
fn a_recorder_notes_what_was_looked_at_and_no_more() {
    let state = state();
    let recorder = Recorder::new(&state);
    recorder.get(&[3]).unwrap();
    recorder.get(&[3]).unwrap();
    recorder.get(&[77]).unwrap();
    assert_eq!(recorder.range(&[2], &[9], 3).unwrap().len(), 3);
    assert_eq!(recorder.range(&[5], &[8], 9).unwrap().len(), 3);
    assert_eq!(recorder.range(&[5], &[5], 9).unwrap().len(), 0);
    assert_eq!(recorder.range(&[6], &[9], 0).unwrap().len(), 0);
    assert_eq!(
        recorder.into_reads(),
        [
            Read::Key(vec![3]),
            Read::Key(vec![77]),
            Read::Range {
                from: vec![2],
                to: vec![4, 0]
            },
            Read::Range {
                from: vec![5],
                to: vec![8]
            },
        ]
    );
}

#[test]
fn the_end_of_a_prefix_is_the_first_key_without_it() {
    assert_eq!(prefix_end(&[1, 2]), [1, 3]);
    assert_eq!(prefix_end(&[1, 0xff]), [2]);
    assert_eq!(prefix_end(&[0xff, 0xff]), Vec::<u8>::new());
    assert_eq!(key_after(&[1]), [1, 0]);
}

#[test]
fn applied_writes_set_and_remove() {
    let mut state = state();
    state.apply(Writes::from([(vec![1], None), (vec![2], Some(vec![9]))]));
    assert_eq!(state.get(&[1]), Ok(None));
    assert_eq!(state.get(&[2]), Ok(Some(vec![9])));
    assert_eq!(state.range(&[0], &[3], 9).unwrap().len(), 2);
    assert_eq!(state.range(&[3], &[0], 9).unwrap().len(), 0);
}
