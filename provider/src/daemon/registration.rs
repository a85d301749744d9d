//! What a provider says of itself on chain, and how its record there is made so.

use std::future::Future;
use std::time::Duration;

use welkin_client::ClientError;
use welkin_modules::matching::STORAGE_CAPABILITIES;
use welkin_modules::provider::Providers;
use welkin_modules::provider::types::{Call, Profile, Status};
use welkin_modules::spec::Attributes;
use welkin_p2p::channel::Listener;
use welkin_runtime::crypto::SigningKey;

use super::LOG;
use super::look::Looker;
use crate::backend::Backend;
use crate::config::Config;

/// Asks the chain until it answers, at a start: a node that is down or lags comes back, and a daemon that gave up would
/// have to be started again by somebody.
///
/// # Errors
/// What asking again does not mend.
pub(super) async fn patiently<T, Asked>(
    pause: Duration,
    mut ask: impl FnMut() -> Asked,
) -> Result<T, ClientError>
where
    Asked: Future<Output = Result<T, ClientError>>,
{
    loop {
        match ask().await {
            Err(error) if may_pass(&error) => {
                tracing::warn!(target: LOG, %error, "the chain cannot be looked at yet; trying again");
                tokio::time::sleep(pause).await;
            }
            done => return done,
        }
    }
}

fn may_pass(error: &ClientError) -> bool {
    // Of a transaction about which nothing is known, the next look at the registration tells.
    error.is_temporary() || matches!(error, ClientError::Unconfirmed { .. })
}

/// What the provider says of itself: the operator's attributes, and what the back end is.
pub(super) fn attributes(config: &Config, backend: &dyn Backend) -> Attributes {
    let capabilities = backend.capabilities();
    let mut attributes = config.attributes.clone();
    attributes.insert("isolation".to_owned(), capabilities.isolation.to_string());
    let network = if capabilities.network_isolated {
        "isolated"
    } else {
        "open"
    };
    attributes.insert("network".to_owned(), network.to_owned());
    for (class, number) in backend.storage_classes().into_iter().zip(1..) {
        let pairs = [("class", class), ("persistent", "true".to_owned())];
        attributes.extend(
            pairs.map(|(key, value)| (format!("{STORAGE_CAPABILITIES}{number}/{key}"), value)),
        );
    }
    attributes
}

/// The record that the chain shall have.
pub(super) fn profile(config: &Config, listener: &Listener, attributes: Attributes) -> Profile {
    let addresses = match config.channel_announce.is_empty() {
        true => announced(listener.listening()),
        false => config.channel_announce.clone(),
    };
    Profile {
        peer_id: listener.local_peer().to_string(),
        addresses,
        attributes,
        website: config.website.clone(),
        contact: config.contact.clone(),
    }
}

/// In the order of their text: the one in which they were opened differs from start to start, and each change of the
/// record would be a transaction.
fn announced(listening: &[impl ToString]) -> Vec<String> {
    let mut addresses: Vec<String> = listening.iter().map(ToString::to_string).collect();
    addresses.sort();
    addresses
}

/// Makes the provider's record on chain equal to `profile`.
///
/// # Errors
/// [`ClientError`]; nothing was changed, or it is not known.
pub(super) async fn register(
    looker: &Looker,
    key: &SigningKey,
    profile: &Profile,
) -> Result<(), ClientError> {
    let known = looker.registration().await?;
    let known = known.map(|view| view.provider);
    let call = match known {
        Some(known) if known.status == Status::Active && known.profile == *profile => {
            return Ok(());
        }
        Some(known) if known.status == Status::Active => Call::Update(profile.clone()),
        _ => Call::Register(profile.clone()),
    };
    let calls = vec![welkin_client::call::<Providers>(&call)];
    looker.chain().submit(key, calls).await?;
    tracing::info!(target: LOG, "registered on chain");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn unreachable() -> ClientError {
        ClientError::TimedOut {
            what: "block 7".to_owned(),
            waited: Duration::ZERO,
        }
    }

    #[tokio::test]
    async fn a_chain_that_does_not_answer_is_asked_again_and_one_that_refuses_is_not() {
        let asked = Cell::new(0);
        let answer = patiently(Duration::ZERO, || {
            asked.set(asked.get() + 1);
            let answer = if asked.get() < 3 {
                Err(unreachable())
            } else {
                Ok(asked.get())
            };
            async { answer }
        });
        assert_eq!(answer.await.unwrap(), 3);
        let refuse = || async { Err::<(), _>(ClientError::Usage("no".to_owned())) };
        let refused = patiently(Duration::ZERO, refuse);
        assert!(matches!(refused.await, Err(ClientError::Usage(_))));
    }

    #[test]
    fn addresses_are_announced_in_one_order_whichever_was_opened_first() {
        let (tcp, quic) = ("/ip4/127.0.0.1/tcp/8443", "/ip4/127.0.0.1/udp/8443/quic-v1");
        assert_eq!(announced(&[tcp, quic]), announced(&[quic, tcp]));
    }
}
