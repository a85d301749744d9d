//! When to dial which persistent peer. Pure: the caller brings the time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use libp2p::{Multiaddr, PeerId};

use crate::identity::{IdentityError, split_address};

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The persistent peers that are not ours to give up.
#[derive(Debug, Default)]
pub(crate) struct Redial {
    targets: BTreeMap<PeerId, Target>,
}

#[derive(Debug)]
struct Target {
    addresses: Vec<Multiaddr>,
    failures: u32,
    due: Instant,
}

impl Redial {
    /// All these addresses, except our own, due at once.
    pub(crate) fn new(
        addresses: &[Multiaddr],
        local_peer: PeerId,
        now: Instant,
    ) -> Result<Self, IdentityError> {
        let mut targets: BTreeMap<PeerId, Target> = BTreeMap::new();
        for address in addresses {
            let (peer, place) = split_address(address)?;
            if peer != local_peer {
                let empty = Target {
                    addresses: Vec::new(),
                    failures: 0,
                    due: now,
                };
                targets.entry(peer).or_insert(empty).addresses.push(place);
            }
        }
        Ok(Self { targets })
    }

    pub(crate) fn peers(&self) -> impl Iterator<Item = &PeerId> {
        self.targets.keys()
    }

    /// Whom to dial now. Each is taken as failed until [`Self::connected`] says otherwise.
    pub(crate) fn due(
        &mut self,
        now: Instant,
        is_connected: impl Fn(&PeerId) -> bool,
    ) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let mut dials = Vec::new();
        for (peer, target) in &mut self.targets {
            if target.due > now || is_connected(peer) {
                continue;
            }
            let wait = FIRST_WAIT
                .saturating_mul(1 << target.failures.min(10))
                .min(LONGEST_WAIT);
            target.due = now + wait;
            target.failures += 1;
            dials.push((*peer, target.addresses.clone()));
        }
        dials
    }

    /// The peer is there: the next dial after a loss is quick again.
    pub(crate) fn connected(&mut self, peer: &PeerId) {
        if let Some(target) = self.targets.get_mut(peer) {
            target.failures = 0;
        }
    }

    /// The last connection with a peer is gone: dial soon, but not sooner than after its failures
    /// so far.
    pub(crate) fn lost(&mut self, peer: &PeerId, now: Instant) {
        if let Some(target) = self.targets.get_mut(peer) {
            target.due = target.due.max(now + FIRST_WAIT);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(now: Instant) -> (Redial, PeerId) {
        let (us, them) = (PeerId::random(), PeerId::random());
        let address = |peer, port| {
            format!("/ip4/127.0.0.1/tcp/{port}/p2p/{peer}")
                .parse()
                .unwrap()
        };
        let addresses = [address(us, 1), address(them, 2), address(them, 3)];
        (Redial::new(&addresses, us, now).unwrap(), them)
    }

    #[test]
    fn a_silent_peer_is_dialled_for_ever_with_growing_waits() {
        let start = Instant::now();
        let (mut redial, them) = setup(start);
        let mut dialled_at = Vec::new();
        for tick in 0..6_000u32 {
            let now = start + Duration::from_millis(100) * tick;
            for (peer, addresses) in redial.due(now, |_| false) {
                assert_eq!((peer, addresses.len()), (them, 2));
                dialled_at.push(tick);
            }
        }
        assert_eq!(dialled_at[..5], [0, 2, 6, 14, 30]);
        assert!(dialled_at.windows(2).all(|pair| pair[1] - pair[0] <= 100));
        assert!(dialled_at.len() > 60);
    }

    #[test]
    fn a_connected_peer_is_not_dialled_and_a_lost_one_soon() {
        let start = Instant::now();
        let (mut redial, them) = setup(start);
        assert_eq!(redial.due(start, |_| false).len(), 1);
        redial.connected(&them);
        let later = start + Duration::from_secs(60);
        assert!(redial.due(later, |_| true).is_empty());
        redial.lost(&them, later);
        assert!(redial.due(later, |_| false).is_empty());
        assert_eq!(redial.due(later + FIRST_WAIT, |_| false).len(), 1);
    }

    #[test]
    fn an_address_without_an_identity_is_refused() {
        let address = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        assert!(Redial::new(&[address], PeerId::random(), Instant::now()).is_err());
    }
}
