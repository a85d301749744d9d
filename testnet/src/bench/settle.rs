//! What a block costs that settles as many due accounts as a block may, in a state with few leases and in one with many.
//!
//! Both states are made by blocks of real transactions over the node's own tree and store, and measured in turns, so
//! that whatever else the machine does happens to both.

use super::figure::{Figure, Goal, quantile};
use anyhow::{Context, ensure};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tempfile::TempDir;
use welkin_client::call;
use welkin_modules::RUNTIME;
use welkin_modules::deployment::{self, Award, Deployments, Nonce};
use welkin_modules::genesis::AppState;
use welkin_modules::ids::{DeploymentId, GroupId, OrderId};
use welkin_modules::market::{self, Market};
use welkin_modules::provider::{self, Profile, Providers};
use welkin_modules::spec::{GroupSpec, Requirements, ResourceUnit, Volume};
use welkin_node::store::{self, StoreConfig};
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::ctx::BlockInfo;
use welkin_runtime::execute::{BlockInput, BlockOutput, Invariants};
use welkin_runtime::state::Writes;
use welkin_runtime::store::Store;
use welkin_runtime::tree::{StateTree, TreeConfig};
use welkin_runtime::tx::{Body, MAX_CALLS, RawCall, Terms, Transaction};
use welkin_runtime::types::NANOS_PER_SECOND;
use welkin_runtime::{Address, Amount, ChainInfo, Hash, Time};

/// Open leases of the two states.
const FEW: u64 = 1_000;
const MANY: u64 = 100_000;
/// Accounts that are due together: what a block settles at most.
const DUE: u64 = 256;
/// Blocks that are settled, each with its own due accounts.
const WAVES: u64 = 3;
/// How often each is executed.
const ROUNDS: usize = 20;
/// Leases that a block of the preparation makes.
const LEASES_PER_BLOCK: u64 = 1_024;
/// When the chains begin.
const GENESIS_TIME: Time = Time(1_700_000_000 * NANOS_PER_SECOND);
/// What a lease costs: 1,000 uwlk in a second.
const RATE: Amount = Amount(3_600_000);
/// Seconds that are paid before the first accounts are due.
const PAID_SECONDS: u64 = 3_600;
/// What the others have: money for longer than any wave.
const RICH: Amount = Amount(36_000_000_000);

/// Measures both states, on the disk of `dir`.
///
/// # Errors
/// A state cannot be made.
pub fn figures(dir: &Path) -> anyhow::Result<Vec<Figure>> {
    std::fs::create_dir_all(dir)?;
    let mut states = [Leases::make(dir, FEW)?, Leases::make(dir, MANY)?];
    let mut execute = [Vec::new(), Vec::new()];
    let mut commit = [Vec::new(), Vec::new()];
    for wave in 0..WAVES {
        for _ in 0..ROUNDS {
            for (state, times) in states.iter().zip(&mut execute) {
                let began = Instant::now();
                let output = state.settle(wave)?;
                times.push(began.elapsed().as_secs_f64() * 1e3);
                check(&output)?;
            }
        }
        for (state, times) in states.iter_mut().zip(&mut commit) {
            let writes = state.settle(wave)?.writes;
            times.push(state.commit(&writes)?);
        }
    }
    let median = |samples: &[f64]| quantile(samples, 0.5);
    let [few, many] = execute.each_ref().map(|samples| median(samples));
    let [few_tree, many_tree] = commit.each_ref().map(|samples| median(samples));
    let note = format!(
        "{few:.2} ms with {FEW} open leases, {many:.2} ms with {MANY}; {DUE} due accounts, \
         spread over all; median of {} executions over the state tree and its store; limit: \
         reading accounts that lie far \
         apart",
        execute[0].len()
    );
    let tree_note = format!(
        "the tree's part, apart: {few_tree:.2} ms and {many_tree:.2} ms; deeper branches and \
         colder pages"
    );
    Ok(vec![
        Figure::new("settle_cost_ratio", many / few, "times", note).with_goal(Goal::AtMost(1.1)),
        Figure::new("settle_tree_commit", many_tree, "ms", tree_note),
    ])
}

/// A state with open leases.
struct Leases {
    tree: StateTree,
    store: Arc<dyn Store>,
    height: u64,
    _dir: TempDir,
}

impl Leases {
    fn make(dir: &Path, open: u64) -> anyhow::Result<Leases> {
        let dir = tempfile::tempdir_in(dir)?;
        let store = store::open(dir.path(), &StoreConfig::default())?.store;
        let tree = StateTree::open(store.clone(), TreeConfig::default())?;
        let mut leases = Leases {
            tree,
            store,
            height: 0,
            _dir: dir,
        };
        let (owner, vendor) = (Sender::new(1), Sender::new(2));
        let wealth = Amount(1 << 61);
        let mut genesis =
            AppState::with_accounts([&owner, &vendor].map(|one| (one.address(), wealth)));
        genesis.provider.params.bond = Amount(1);
        let first = RUNTIME.genesis(&genesis.to_json(), GENESIS_TIME)?;
        leases.commit(&first.writes)?;
        leases.make_leases(owner, vendor, open)?;
        Ok(leases)
    }

    fn make_leases(
        &mut self,
        mut owner: Sender,
        mut vendor: Sender,
        open: u64,
    ) -> anyhow::Result<()> {
        let provider = vendor.address();
        let register = call::<Providers>(&provider::Call::Register(profile()));
        self.build(&[vendor.sign(vec![register])])?;
        let numbers: Vec<u64> = (1..=open).collect();
        for block in numbers.chunks(LEASES_PER_BLOCK as usize) {
            let mut transactions = Vec::new();
            for part in block.chunks(MAX_CALLS) {
                let create = part.iter().map(|number| create(*number, open));
                let bid = part.iter().map(|number| bid(*number));
                let accept = part.iter().map(|number| accept(*number, provider));
                transactions.push(owner.sign(create.collect()));
                transactions.push(vendor.sign(bid.collect()));
                transactions.push(owner.sign(accept.collect()));
            }
            self.build(&transactions)?;
        }
        Ok(())
    }

    /// A block of the preparation: all have one time, so that nothing is earned yet.
    fn build(&mut self, transactions: &[Vec<u8>]) -> anyhow::Result<()> {
        let output = self.execute(GENESIS_TIME, transactions)?;
        for result in &output.tx_results {
            ensure!(result.code == 0, "{}: {}", result.codespace, result.log);
        }
        self.commit(&output.writes)?;
        Ok(())
    }

    /// The block in which this wave's accounts are due.
    fn settle(&self, wave: u64) -> anyhow::Result<BlockOutput> {
        let after = (PAID_SECONDS + wave) * NANOS_PER_SECOND;
        self.execute(GENESIS_TIME.saturating_add(after), &[])
    }

    fn execute(&self, time: Time, transactions: &[Vec<u8>]) -> anyhow::Result<BlockOutput> {
        let newest = self.tree.newest().context("a state")?;
        let view = self.tree.view(newest)?;
        let block = BlockInfo {
            height: self.height,
            time,
            ..BlockInfo::default()
        };
        let input = BlockInput {
            block,
            transactions,
            invariants: Invariants::Trusted,
        };
        Ok(RUNTIME.execute_block(&view, input)?)
    }

    /// Makes it the newest state; milliseconds of the tree's work without the store's.
    fn commit(&mut self, writes: &Writes) -> anyhow::Result<f64> {
        let began = Instant::now();
        let (_, batch) = self.tree.commit(self.height, writes)?;
        let taken = began.elapsed().as_secs_f64() * 1e3;
        self.store.commit(batch, self.height)?;
        self.store.sync()?;
        self.tree.applied(self.height);
        self.height += 1;
        Ok(taken)
    }
}

/// An account that signs nothing: executing believes that a block was judged.
struct Sender {
    key: [u8; 32],
    next: u64,
}

impl Sender {
    fn new(number: u8) -> Sender {
        let key = SigningKey::from_seed(&[number; 32]).public_key();
        Sender { key, next: 0 }
    }

    fn address(&self) -> Address {
        Address::of_key(&self.key)
    }

    fn sign(&mut self, calls: Vec<RawCall>) -> Vec<u8> {
        let chain = ChainInfo {
            chain_id: "welkin-bench".to_owned(),
            genesis_hash: Hash([0; 32]),
        };
        let terms = Terms {
            sequence: self.next,
            expiry_height: u64::MAX,
            gas_limit: u64::MAX,
            fee: Amount(1),
        };
        self.next += 1;
        let body = Body::new(&chain, self.key, terms, calls);
        let signature = [0; 64];
        Transaction { body, signature }.encode()
    }
}

fn check(output: &BlockOutput) -> anyhow::Result<()> {
    let exhausted = output
        .events
        .iter()
        .filter(|event| event.name == "exhausted")
        .count() as u64;
    ensure!(
        exhausted == DUE && !output.due_work && output.hook_failures.is_empty(),
        "{exhausted} accounts were settled, {DUE} are due"
    );
    Ok(())
}

/// Which wave a deployment is due in: those of all waves are spread evenly.
fn wave_of(number: u64, open: u64) -> Option<u64> {
    let step = open / (DUE * WAVES);
    let position = number / step;
    (number.is_multiple_of(step) && (1..=DUE * WAVES).contains(&position))
        .then_some(position % WAVES)
}

fn create(number: u64, open: u64) -> RawCall {
    let deposit =
        wave_of(number, open).map_or(RICH, |wave| Amount(RATE.0 / 3_600 * (PAID_SECONDS + wave)));
    call::<Deployments>(&deployment::Call::Create {
        groups: vec![spec()],
        commitment: Hash([1; 32]),
        nonce: Nonce(u128::from(number).to_be_bytes()),
        deposit,
        award: Award::Tenant,
    })
}

fn bid(number: u64) -> RawCall {
    call::<Market>(&market::Call::Bid {
        order: order(number),
        rate_uwlk_per_hour: RATE,
        offer: Vec::new(),
        deposit: Amount(500_000),
    })
}

fn accept(number: u64, provider: Address) -> RawCall {
    let bid = order(number).bid(provider);
    call::<Market>(&market::Call::Accept { bid })
}

fn order(number: u64) -> OrderId {
    GroupId {
        deployment: DeploymentId(number),
        group: 1,
    }
    .order(1)
}

fn spec() -> GroupSpec {
    GroupSpec {
        name: "web".to_owned(),
        requirements: Requirements::default(),
        resources: vec![ResourceUnit {
            id: 1,
            cpu_millis: 100,
            memory_bytes: 64 << 20,
            gpu: Default::default(),
            storage: vec![Volume {
                name: "root".to_owned(),
                bytes: 64 << 20,
                attributes: Default::default(),
            }],
            endpoints: Vec::new(),
            count: 1,
            max_rate_uwlk_per_hour: RATE,
        }],
    }
}

fn profile() -> Profile {
    Profile {
        peer_id: "12D3KooWGRUVh2VYQ9Uq6QhN3mWSTAFgpFDRk6a6cYtUiS4n2kD8".to_owned(),
        addresses: vec!["/ip4/127.0.0.1/tcp/8443".to_owned()],
        attributes: Default::default(),
        website: String::new(),
        contact: String::new(),
    }
}
