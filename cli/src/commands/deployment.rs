//! `welkin deployment`.

use std::path::Path;
use std::time::Duration;

use rand::RngCore;
use serde::Serialize;
use welkin_client::{Chain, call};
use welkin_modules::deployment::Deployments;
use welkin_modules::deployment::types::{Answer, Call, Deployment as Record, Group, Nonce, Query};
use welkin_modules::escrow::Escrow;
use welkin_modules::escrow::types::{
    AccountView, Answer as EscrowAnswer, Call as EscrowCall, PaymentView, Query as EscrowQuery,
};
use welkin_modules::ids::{DeploymentId, OrderId};
use welkin_modules::market::Market;
use welkin_modules::market::types::{Answer as MarketAnswer, LeaseState, Query as MarketQuery};
use welkin_provider_api::channel::Phase;
use welkin_provider_api::delegation::Scope;
use welkin_runtime::{Address, Amount};

use super::deploy::intent;
use super::sdl;
use crate::args::Deployment;
use crate::channel::Link;
use crate::context::Context;
use crate::failure::{Failure, Outcome, code};
use crate::output::{pairs, say, table, tokens};

const PAGE: u32 = 100;
const LOOK: Duration = Duration::from_millis(200);

#[derive(Serialize)]
struct Shown {
    deployment: Record,
    groups: Vec<Group>,
    escrow: Option<AccountView>,
    payments: Vec<PaymentView>,
}

#[derive(Serialize)]
struct Changed {
    deployment: DeploymentId,
    height: u64,
    transaction: String,
}

/// Looks after deployments.
pub async fn run(context: &Context, command: Deployment) -> Outcome {
    let chain = context.chain().await?;
    match command {
        Deployment::List { owner } => {
            let owner = match owner {
                Some(owner) => owner,
                None => context.keyring().show(context.key_name())?.address,
            };
            list(context, &chain, owner).await
        }
        Deployment::Show { id } => show(context, &chain, id).await,
        Deployment::Update {
            id,
            file,
            price_as_uwlk,
            timeout,
        } => {
            let limit = Duration::from_secs(timeout);
            let update = update(context, &chain, id, &file, price_as_uwlk);
            tokio::time::timeout(limit, update)
                .await
                .unwrap_or_else(|_| {
                    let text = format!(
                        "the update took longer than {timeout} s; run it again to continue"
                    );
                    Err(Failure::new(code::TIMED_OUT, text))
                })
        }
        Deployment::Close { id } => {
            let close = call::<Deployments>(&Call::Close { deployment: id });
            submit(context, &chain, id, close).await
        }
        Deployment::Deposit { id, amount } => {
            let deposit = EscrowCall::Deposit {
                deployment: id,
                amount: Amount(amount),
            };
            submit(context, &chain, id, call::<Escrow>(&deposit)).await
        }
    }
}

async fn submit(
    context: &Context,
    chain: &Chain,
    id: DeploymentId,
    call: welkin_runtime::tx::RawCall,
) -> Outcome {
    let receipt = chain.submit(&context.key()?, vec![call]).await?;
    let changed = Changed {
        deployment: id,
        height: receipt.height,
        transaction: receipt.id.to_string(),
    };
    context.format.print(&changed, |changed| {
        pairs(&[
            ("deployment", changed.deployment.to_string()),
            ("height", changed.height.to_string()),
            ("transaction", changed.transaction.clone()),
        ])
    })
}

async fn list(context: &Context, chain: &Chain, owner: Address) -> Outcome {
    let mut all = Vec::new();
    let mut start = None;
    loop {
        let query = Query::ByOwner {
            owner,
            start,
            limit: PAGE,
        };
        let Answer::ByOwner { deployments, next } =
            chain.query::<Deployments>(&query).await?.answer
        else {
            return Err(other_kind());
        };
        all.extend(deployments);
        start = next;
        if start.is_none() {
            break;
        }
    }
    context.format.print(&all, |all| {
        table(
            &["DEPLOYMENT", "STATE", "GROUPS", "VERSION", "CREATED AT"],
            all.iter().map(|one| {
                vec![
                    one.id.to_string(),
                    format!("{:?}", one.state).to_lowercase(),
                    one.groups.to_string(),
                    one.version.to_string(),
                    one.created.height.to_string(),
                ]
            }),
        )
    })
}

async fn record(chain: &Chain, id: DeploymentId) -> Outcome<Record> {
    match chain
        .query::<Deployments>(&Query::Deployment { deployment: id })
        .await?
        .answer
    {
        Answer::Deployment(Some(record)) => Ok(record),
        _ => Err(Failure::not_found(format!(
            "there is no deployment {id}; `welkin deployment list` lists yours"
        ))),
    }
}

async fn groups(chain: &Chain, id: DeploymentId) -> Outcome<Vec<Group>> {
    match chain
        .query::<Deployments>(&Query::Groups { deployment: id })
        .await?
        .answer
    {
        Answer::Groups(groups) => Ok(groups),
        _ => Err(other_kind()),
    }
}

async fn show(context: &Context, chain: &Chain, id: DeploymentId) -> Outcome {
    let deployment = record(chain, id).await?;
    let groups = groups(chain, id).await?;
    let escrow = match chain
        .query::<Escrow>(&EscrowQuery::Account { deployment: id })
        .await?
        .answer
    {
        EscrowAnswer::Account(account) => account,
        _ => return Err(other_kind()),
    };
    let query = EscrowQuery::Payments {
        deployment: id,
        start: None,
        limit: PAGE,
    };
    let EscrowAnswer::Payments { payments, .. } = chain.query::<Escrow>(&query).await?.answer
    else {
        return Err(other_kind());
    };
    let shown = Shown {
        deployment,
        groups,
        escrow,
        payments,
    };
    context.format.print(&shown, |shown| {
        let mut text = pairs(&[
            ("deployment", shown.deployment.id.to_string()),
            ("owner", shown.deployment.owner.to_string()),
            (
                "state",
                format!("{:?}", shown.deployment.state).to_lowercase(),
            ),
            ("version", shown.deployment.version.to_string()),
            ("commitment", shown.deployment.commitment.to_string()),
        ]);
        if let Some(escrow) = &shown.escrow {
            text.push_str(&pairs(&[
                ("left      ", tokens(escrow.free_uwlk.0)),
                ("earned    ", tokens(escrow.earned_uwlk.0)),
            ]));
        }
        for group in &shown.groups {
            let state = format!("{:?}", group.state).to_lowercase();
            text.push_str(&format!(
                "group {}  {}  {state}\n",
                group.id, group.spec.name
            ));
        }
        text
    })
}

/// Commits to a new manifest on chain, sends it to each lease's provider, and waits until it runs.
async fn update(
    context: &Context,
    chain: &Chain,
    id: DeploymentId,
    file: &Path,
    price_as_uwlk: bool,
) -> Outcome {
    let read = sdl::read(file, false)?;
    let built = sdl::groups(&read, price_as_uwlk)?;
    let key = context.key()?;
    let known = record(chain, id).await?;
    let groups = groups(chain, id).await?;
    if groups.len() != built.len()
        || groups
            .iter()
            .zip(&built)
            .any(|(old, new)| old.spec.name != new.spec.name)
    {
        let text = format!(
            "deployment {id} has other groups than {}; close it and deploy the file anew",
            file.display()
        );
        return Err(Failure::usage(text));
    }
    // The same content under the nonce of the running version is what runs already.
    let mut commitment = sdl::commitment(&built, chain, &key, &known.version_nonce);
    if commitment.hash != known.commitment {
        let mut nonce = [0; 16];
        rand::rng().fill_bytes(&mut nonce);
        commitment = sdl::commitment(&built, chain, &key, &Nonce(nonce));
        let update = Call::Update {
            deployment: id,
            commitment: commitment.hash,
            nonce: Nonce(nonce),
        };
        let receipt = chain
            .submit(&key, vec![call::<Deployments>(&update)])
            .await?;
        say(format!(
            "committed to the new version in block {}",
            receipt.height
        ));
    }
    let genesis = chain.info().genesis_hash;
    intent::follow(&context.home, &genesis, &key.address(), file, known.nonce)?;
    for (index, group) in groups.iter().enumerate() {
        let lease = OrderId {
            deployment: id,
            group: group.id.group,
            order: group.orders,
        };
        let query = MarketQuery::Lease { lease };
        match chain.query::<Market>(&query).await?.answer {
            MarketAnswer::Lease(Some(lease)) if lease.state == LeaseState::Active => {}
            _ => {
                say(format!(
                    "group {} has no lease; `welkin deploy {}` finds one",
                    group.id,
                    file.display()
                ));
                continue;
            }
        }
        let link = Link::to(chain, key.clone(), lease).await?;
        let client = link.open(Scope::SendManifest).await?;
        client
            .send_manifest(
                built[index].manifest.encode(),
                commitment.openings[index].clone(),
            )
            .await?;
        say(format!(
            "handed to {}; waiting until lease {lease} runs it",
            link.provider
        ));
        loop {
            let status = link.open(Scope::Status).await?.status().await?;
            match status.phase {
                Phase::Ready if status.running_manifest == Some(commitment.hash) => break,
                Phase::Failed | Phase::UpdateFailed => {
                    let cause = status
                        .failure
                        .unwrap_or_else(|| "no cause was given".to_owned());
                    let text = format!("the provider could not run the new version: {cause}");
                    return Err(Failure::new(code::REFUSED_BY_PROVIDER, text));
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }
    show(context, chain, id).await
}

fn other_kind() -> Failure {
    Failure::new(
        code::FAILED,
        "the chain's answer is of another kind than was asked for",
    )
}
