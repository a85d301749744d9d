//! `welkin deployment`.

use std::time::Duration;

use serde::Serialize;
use welkin_client::{Chain, call};
use welkin_modules::deployment::Deployments;
use welkin_modules::deployment::types::{Call, Deployment as Record, DeploymentState, Group};
use welkin_modules::escrow::Escrow;
use welkin_modules::escrow::types::{AccountView, Call as EscrowCall, PaymentView};
use welkin_modules::ids::DeploymentId;
use welkin_modules::market::types::{Lease, LeaseState};
use welkin_runtime::tx::RawCall;
use welkin_runtime::{Address, Amount, Time};

use super::deploy;
use crate::args::Deployment;
use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::money::{self, Standing};
use crate::output::{pairs, table, tokens};
use crate::sending::send;

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    deployment: Record,
    escrow: Option<AccountView>,
    #[serde(skip)]
    seen_at: Time,
}

#[derive(Serialize)]
struct Shown {
    deployment: Record,
    groups: Vec<Group>,
    leases: Vec<Lease>,
    escrow: Option<AccountView>,
    payments: Vec<PaymentView>,
    #[serde(skip)]
    seen_at: Time,
}

#[derive(Serialize)]
struct Changed {
    deployment: DeploymentId,
    height: u64,
    transaction: String,
}

/// Looks after deployments.
pub async fn run(context: &Context, command: Deployment) -> Outcome {
    match command {
        Deployment::List { owner } => {
            let owner = match owner {
                Some(owner) => owner,
                None => context.keyring().show(context.key_name())?.address,
            };
            list(context, owner).await
        }
        Deployment::Show { id } => show(context, id).await,
        Deployment::Update(options) => deploy::update::run(context, options).await,
        Deployment::Close { id, timeout } => {
            let close = call::<Deployments>(&Call::Close { deployment: id });
            submit(context, id, close, timeout).await
        }
        Deployment::Deposit {
            id,
            amount,
            timeout,
        } => {
            let deposit = EscrowCall::Deposit {
                deployment: id,
                amount: Amount(amount),
            };
            submit(context, id, call::<Escrow>(&deposit), timeout).await
        }
    }
}

/// Sends a call about a deployment and shows its money then. `timeout` is in seconds.
async fn submit(
    context: &Context,
    id: DeploymentId,
    call: RawCall,
    timeout: Option<u64>,
) -> Outcome {
    let key = context.key()?;
    let chain = context.chain().await?;
    let limit = timeout.map(Duration::from_secs);
    let look = format!("`welkin deployment show {id}` shows it then");
    let receipt = send(&chain, &key, vec![call], limit, &look).await?;
    let changed = Changed {
        deployment: id,
        height: receipt.height,
        transaction: receipt.id.to_string(),
    };
    // It is done, whether the money can be shown or not.
    let escrow = chain.escrow_since(receipt.height, id).await.ok();
    context.format.print(&changed, |changed| {
        let mut rows = vec![
            ("deployment", changed.deployment.to_string()),
            ("height", changed.height.to_string()),
            ("transaction", changed.transaction.clone()),
        ];
        if let Some((view, time)) = escrow.and_then(|seen| seen.answer.zip(Some(seen.time))) {
            rows.extend(money::rows(&view, time));
        }
        pairs(&rows)
    })
}

async fn list(context: &Context, owner: Address) -> Outcome {
    let chain = context.chain().await?;
    let mut all = Vec::new();
    for deployment in chain.deployments_of(owner).await? {
        let escrow = chain.escrow(deployment.id).await?;
        all.push(Listed {
            deployment,
            escrow: escrow.answer,
            seen_at: escrow.time,
        });
    }
    context.format.print(&all, |all| {
        table(
            &[
                "DEPLOYMENT",
                "STATE",
                "GROUPS",
                "VERSION",
                "COST AN HOUR",
                "LEFT",
                "LASTS",
            ],
            all.iter().map(|one| {
                let money = one.escrow.as_ref();
                let lives = one.deployment.state == DeploymentState::Active;
                let money = money.filter(|_| lives).map(|view| {
                    let standing = Standing::of(view, one.seen_at);
                    let rate = view.account.rate_uwlk_per_hour.0;
                    [tokens(rate), tokens(view.free_uwlk.0), standing.short()]
                });
                let deployment = &one.deployment;
                let mut row = vec![
                    deployment.id.to_string(),
                    format!("{:?}", deployment.state).to_lowercase(),
                    deployment.groups.to_string(),
                    deployment.version.to_string(),
                ];
                row.extend(money.unwrap_or_default());
                row
            }),
        )
    })
}

async fn show(context: &Context, id: DeploymentId) -> Outcome {
    let chain = context.chain().await?;
    let deployment = chain.deployment(id).await?.ok_or_else(|| {
        Failure::not_found(format!(
            "there is no deployment {id}; `welkin deployment list` lists yours"
        ))
    })?;
    let groups = chain.groups(id).await?;
    let leases = active_leases(&chain, &groups).await?;
    let payments = chain.payments(id).await?;
    let escrow = chain.escrow(id).await?;
    let shown = Shown {
        deployment,
        groups,
        leases,
        escrow: escrow.answer,
        payments,
        seen_at: escrow.time,
    };
    context.format.print(&shown, for_people)
}

async fn active_leases(chain: &Chain, groups: &[Group]) -> Outcome<Vec<Lease>> {
    let mut leases = Vec::new();
    for order in groups.iter().map(Group::newest_order) {
        let lease = chain.lease(order).await?;
        leases.extend(lease.filter(|lease| lease.state == LeaseState::Active));
    }
    Ok(leases)
}

fn for_people(shown: &Shown) -> String {
    let mut rows = vec![
        ("deployment", shown.deployment.id.to_string()),
        ("owner", shown.deployment.owner.to_string()),
        (
            "state",
            format!("{:?}", shown.deployment.state).to_lowercase(),
        ),
        ("version", shown.deployment.version.to_string()),
        ("commitment", shown.deployment.commitment.to_string()),
    ];
    if let Some(escrow) = &shown.escrow {
        rows.extend(money::rows(escrow, shown.seen_at));
    }
    let mut text = pairs(&rows);
    for group in &shown.groups {
        let order = group.newest_order();
        let lease = shown.leases.iter().find(|lease| lease.id == order);
        let what = match lease {
            Some(lease) => format!(
                "lease {} with {} for {} an hour",
                lease.id,
                lease.provider,
                tokens(lease.rate_uwlk_per_hour.0)
            ),
            None => format!("{:?}", group.state).to_lowercase(),
        };
        text.push_str(&format!("group {} {}  {what}\n", group.id, group.spec.name));
    }
    let standing = shown
        .escrow
        .as_ref()
        .map(|view| Standing::of(view, shown.seen_at));
    if let Some(warning) = standing.and_then(|standing| standing.warning(shown.deployment.id)) {
        text.push_str(&format!("{warning}\n"));
    }
    if let Some(lease) = shown.leases.first() {
        text.push_str(&format!(
            "`welkin lease status {}` shows where it is reached\n",
            lease.id
        ));
    }
    text
}
