use super::*;
use crate::state::MapState;
use crate::storage::Item;

const NUMBER: Item<u64> = Item::new("demo/number", [7, 1], "A number.");
const LISTED: &[Prefix] = &[[7, 1]];

fn with_ctx(work: impl FnOnce(&mut Ctx)) -> Finished {
    let (state, block) = (MapState::default(), BlockInfo::default());
    let mut ctx = Ctx::new(&state, &block, LISTED);
    work(&mut ctx);
    ctx.finish()
}

fn refuse<T>() -> Result<T> {
    Err(RuntimeError::MalformedCall.into())
}

#[test]
fn an_inner_layer_fails_alone_and_an_outer_one_takes_the_inner_with_it() {
    let done = with_ctx(|ctx| {
        let outer = ctx.atomic(|ctx| {
            NUMBER.set(ctx, &1)?;
            let inner: Result<()> = ctx.atomic(|ctx| {
                NUMBER.set(ctx, &2)?;
                ctx.report_due_work();
                refuse()
            });
            assert!(inner.is_err());
            assert_eq!(NUMBER.get(ctx)?, Some(1));
            ctx.atomic(|ctx| NUMBER.set(ctx, &3))
        });
        assert_eq!(outer, Ok(()));
        assert_eq!(NUMBER.get(ctx), Ok(Some(3)));
        let outer: Result<()> = ctx.atomic(|ctx| {
            ctx.atomic(|ctx| NUMBER.set(ctx, &4))?;
            ctx.update_validator(ValidatorUpdate {
                public_key: [1; 32],
                power: 1,
            });
            refuse()
        });
        assert!(outer.is_err());
        assert_eq!(NUMBER.get(ctx), Ok(Some(3)));
    });
    assert!(!done.due_work && done.validator_updates.is_empty());
    assert_eq!(done.writes.len(), 1);
}

#[test]
fn gas_of_what_was_undone_stays_used() {
    with_ctx(|ctx| {
        ctx.begin(Origin::Chain, 100);
        let undone: Result<()> = ctx.atomic(|ctx| {
            NUMBER.set(ctx, &2)?;
            refuse()
        });
        assert!(undone.is_err());
        // Two bytes of key and eight of value.
        assert_eq!(ctx.gas_used(), 10);
        assert_eq!(NUMBER.get(ctx), Ok(None));
        assert_eq!(ctx.gas_used(), 12);
    });
}

#[test]
fn the_last_unit_of_gas_can_be_used_and_not_one_more() {
    with_ctx(|ctx| {
        ctx.begin(Origin::Chain, 20);
        assert_eq!(NUMBER.set(ctx, &1), Ok(()));
        assert_eq!(NUMBER.set(ctx, &2), Ok(()));
        assert!(NUMBER.get(ctx).unwrap_err().is(RuntimeError::OutOfGas));
    });
}

#[test]
fn layers_within_layers_end_somewhere() {
    fn deeper(ctx: &mut Ctx, depth: usize) -> Result<usize> {
        match ctx.atomic(|ctx| deeper(ctx, depth + 1)) {
            Ok(depth) => Ok(depth),
            Err(_) => Ok(depth),
        }
    }
    with_ctx(|ctx| assert_eq!(deeper(ctx, 0), Ok(MAX_DEPTH)));
}

#[test]
fn a_failed_attempt_is_undone_and_reported() {
    let done = with_ctx(|ctx| {
        let failed: Option<()> = ctx.attempt("testing", |ctx| {
            NUMBER.set(ctx, &1)?;
            refuse()
        });
        assert_eq!(failed, None);
        assert_eq!(ctx.attempt("testing", |ctx| NUMBER.get(ctx)), Some(None));
    });
    assert_eq!(done.hook_failures.len(), 1);
    assert!(done.writes.is_empty());
}

#[test]
fn only_an_account_is_a_sender() {
    with_ctx(|ctx| {
        assert!(ctx.sender().unwrap_err().is(RuntimeError::NotAnAccount));
        ctx.begin(Origin::Account(Address([3; 20])), 1);
        assert_eq!(ctx.sender(), Ok(Address([3; 20])));
    });
}
