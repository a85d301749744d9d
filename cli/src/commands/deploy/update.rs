//! `welkin deployment update`: commits to a new version of the file, and brings it to the leases as `deploy` does.

use std::time::Duration;

use welkin_client::call;
use welkin_modules::deployment::Deployments;
use welkin_modules::deployment::types::{
    Call, Deployment, DeploymentState, Group, GroupState, Nonce,
};
use welkin_modules::ids::DeploymentId;
use welkin_provider_api::manifest::{Built, check_fit};
use welkin_runtime::crypto::SigningKey;

use super::run::{Run, Wishes};
use super::steps::Goal;
use super::{BID_WAIT, Deployed, TIMEOUT, conclude};
use crate::args::Update;
use crate::commands::sdl;
use crate::context::Context;
use crate::failure::{Failure, Outcome, code};

/// Updates a deployment.
pub async fn run(context: &Context, options: Update) -> Outcome {
    let source = sdl::read(&options.file, options.strict)?;
    let built = sdl::groups(&source.sdl, options.price_as_uwlk)?;
    let wishes = Wishes {
        file: options.file,
        content: source.content,
        deposit: None,
        bid_wait: options.bid_wait.map_or(BID_WAIT, Duration::from_secs),
        provider: None,
        choose: false,
        limit: options.timeout.map_or(TIMEOUT, Duration::from_secs),
    };
    let chain = context.chain().await?;
    let mut run = Run::new(context, chain, Goal::Update, built, wishes).await?;
    conclude(context, &mut run, async |run| run.update(options.id).await).await
}

/// What a deployment commits to, with the nonce by which the deployment is found.
enum Version {
    /// What the file says.
    Wanted(Nonce),
    /// Something else.
    Other(Nonce),
}

impl Run {
    async fn update(&mut self, id: DeploymentId) -> Outcome<Deployed> {
        let mut refusal = None;
        loop {
            let done = match (self.version(id).await, refusal.take()) {
                (Ok(Version::Wanted(nonce)), _) => Ok(nonce),
                // An earlier attempt has not done it either.
                (Ok(Version::Other(_)), Some(refusal)) => return Err(refusal),
                (Ok(Version::Other(nonce)), None) => self.commit(id).await.map(|()| nonce),
                (Err(failure), _) => Err(failure),
            };
            match done {
                Ok(nonce) => {
                    self.works();
                    self.follow(nonce).await?;
                    return self.finish().await;
                }
                // Sent again it has the same nonce: it is done once.
                Err(failure) if failure.is_temporary || failure.code == code::TIMED_OUT => {
                    self.try_on(&failure).await;
                }
                Err(failure) if failure.code == code::REFUSED_BY_CHAIN => refusal = Some(failure),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Which version the deployment commits to. Fails where it cannot be updated to the file's.
    async fn version(&self, id: DeploymentId) -> Outcome<Version> {
        let known = self.chain.deployment(id).await?.ok_or_else(|| {
            Failure::not_found(format!(
                "there is no deployment {id}; `welkin deployment list` lists yours"
            ))
        })?;
        self.check_owner(&known)?;
        let groups = self.chain.groups(id).await?;
        self.check_groups(id, &groups)?;
        // The same content under the nonce of the running version is what runs already.
        let same = sdl::commitment(&self.groups, &self.chain, &self.key, &known.version_nonce);
        Ok(match same.hash == known.commitment {
            true => Version::Wanted(known.nonce),
            false => Version::Other(known.nonce),
        })
    }

    /// Commits to the file's content.
    async fn commit(&mut self, id: DeploymentId) -> Outcome {
        let nonce = self.update_nonce(id)?;
        let update = Call::Update {
            deployment: id,
            commitment: sdl::commitment(&self.groups, &self.chain, &self.key, &nonce).hash,
            nonce,
        };
        self.step(format!("updating deployment {id}"));
        let calls = vec![call::<Deployments>(&update)];
        let receipt = self.send("an update", calls).await?;
        self.step(format!(
            "committed to the new version in block {}",
            receipt.height
        ));
        Ok(())
    }

    fn check_owner(&self, known: &Deployment) -> Outcome {
        let id = known.id;
        let own = SigningKey::address(&self.key);
        if known.owner != own {
            let owner = known.owner;
            return Err(Failure::usage(format!(
                "deployment {id} is {owner}'s, and this key is {own}'s; --key names another"
            )));
        }
        if known.state != DeploymentState::Active {
            let file = self.wishes.file_word();
            return Err(Failure::usage(format!(
                "deployment {id} has ended; `welkin deploy {file}` makes a new one"
            )));
        }
        Ok(())
    }

    /// What the providers would have to refuse is not committed to.
    fn check_groups(&self, id: DeploymentId, groups: &[Group]) -> Outcome {
        let file = self.wishes.file_word();
        let has_same_names = groups.len() == self.groups.len()
            && groups
                .iter()
                .zip(&self.groups)
                .all(|(old, new)| old.spec.name == new.spec.name);
        if !has_same_names {
            let text = format!(
                "deployment {id} has other groups than {file}; close it and deploy the file anew"
            );
            return Err(Failure::usage(text));
        }
        let open = |(group, _): &(&Group, &Built)| group.state != GroupState::Closed;
        for (group, built) in groups.iter().zip(&self.groups).filter(open) {
            check_fit(&built.manifest, &group.spec).map_err(|error| {
                Failure::usage(format!(
                    "{file} does not fit what group {:?} of deployment {id} leased, and nothing was changed: {error}; \
                     ask for no more than that, or close the deployment and deploy the file anew",
                    group.spec.name
                ))
            })?;
        }
        Ok(())
    }
}
