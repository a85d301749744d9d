use super::*;

fn sample(length: usize) -> Vec<u8> {
    (0..length).map(|place| (place / 7) as u8).collect()
}

#[test]
fn parts_are_cut_at_64_kib_and_put_together_in_any_order() {
    for (length, total) in [(1, 1), (65_536, 1), (65_537, 2), (3 * 65_536 + 1, 4)] {
        let bytes = sample(length);
        let cut = PartSet::from_bytes(&bytes);
        assert!(cut.is_complete());
        assert_eq!((cut.header().total, cut.byte_size()), (total, length));
        let mut collected = PartSet::missing(cut.header()).unwrap();
        for index in (0..total).rev() {
            assert_eq!(collected.assemble(), None);
            assert_eq!(collected.missing_indices().count() as u32, index + 1);
            let part = cut.get(index).unwrap().clone();
            assert_eq!(collected.add(part.clone()), Ok(Added::New));
            assert_eq!(collected.add(part), Ok(Added::Known));
        }
        assert_eq!(collected.assemble(), Some(bytes));
        assert_eq!(collected, cut);
    }
}

#[test]
fn parts_that_do_not_belong_are_refused() {
    let cut = PartSet::from_bytes(&sample(3 * PART_BYTES));
    let other = PartSet::from_bytes(&sample(3 * PART_BYTES + 1));
    let offer = |change: fn(&mut Part)| {
        let mut part = cut.get(1).unwrap().clone();
        change(&mut part);
        PartSet::missing(cut.header()).unwrap().add(part)
    };
    assert_eq!(offer(|_| ()), Ok(Added::New));
    assert!(
        offer(|part| part.index = 0).is_err(),
        "an index unlike its proof's (ASA-2025-002)"
    );
    assert!(
        offer(|part| part.index = 3).is_err(),
        "an index beyond the last"
    );
    assert!(
        offer(|part| part.index = u32::MAX).is_err(),
        "an index far beyond the last"
    );
    assert!(offer(|part| part.proof.total = 4).is_err(), "another total");
    assert!(offer(|part| part.bytes[0] ^= 1).is_err(), "other bytes");
    assert!(
        offer(|part| part.bytes.truncate(100)).is_err(),
        "a part that is not full"
    );
    assert!(
        offer(|part| part.bytes.push(0)).is_err(),
        "a part that is too full"
    );
    assert!(offer(|part| part.bytes.clear()).is_err(), "an empty part");
    let mut set = PartSet::missing(cut.header()).unwrap();
    assert!(
        set.add(other.get(1).unwrap().clone()).is_err(),
        "a part of another set"
    );
    assert_eq!((set.count(), set.byte_size()), (0, 0));
}

#[test]
fn headers_that_no_block_can_have_are_refused_before_anything_is_allocated() {
    let hash = Digest::new([1; 32]);
    for (total, hash) in [
        (0, hash),
        (MAX_PARTS + 1, hash),
        (u32::MAX, hash),
        (1, Digest::EMPTY),
    ] {
        assert!(
            PartSet::missing(PartSetHeader { total, hash }).is_err(),
            "{total} {hash}"
        );
    }
    assert_eq!(MAX_PARTS, 1_601);
}

#[test]
fn a_part_that_is_too_long_is_not_read() {
    let mut part = PartSet::from_bytes(&sample(PART_BYTES))
        .get(0)
        .unwrap()
        .clone();
    assert_eq!(Part::decode(&part.encode()).unwrap(), part);
    part.bytes.push(0);
    assert!(matches!(
        Part::decode(&part.encode()),
        Err(DecodeError::Length { .. })
    ));
}
