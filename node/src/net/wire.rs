//! What nodes say to each other beside the machine's own messages. borsh; the network has bounded
//! every message before it is decoded here.

use borsh::{BorshDeserialize, BorshSerialize};

/// Most blocks in one answer.
pub const MAX_BLOCKS: usize = 64;
/// Bytes of blocks in one answer; the first block always goes.
pub const MAX_BLOCKS_BYTES: usize = 4 << 20;
/// Most ids in one message about the mempool.
pub const MAX_IDS: usize = 1_024;
/// Bytes of transactions in one answer.
pub const MAX_TXS_BYTES: usize = 1_000_000;
/// Bytes of transactions in one gossip message; a single larger one goes alone.
pub const GOSSIP_BYTES: usize = 60 * 1024;

/// Where a node stands: the answer to an empty request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StatusAnswer {
    /// Its newest block.
    pub newest: u64,
    /// Its oldest block.
    pub oldest: u64,
}

/// Asks for blocks from this height on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BlocksRequest {
    /// The first.
    pub from: u64,
    /// At most so many.
    pub count: u32,
}

/// Blocks in order, each with a commit that proves it.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BlocksAnswer {
    /// The blocks.
    pub blocks: Vec<BlockAnswer>,
}

/// A block as it stands in the block log.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct BlockAnswer {
    /// The block.
    pub block: Vec<u8>,
    /// The commit that was seen for it.
    pub commit: Vec<u8>,
}

/// What the asker lacks of the height that is being decided; the request is a `Summary`.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PullAnswer {
    /// The newest block of who answers.
    pub newest: u64,
    /// Messages of the machine.
    pub messages: Vec<Vec<u8>>,
}

/// Asks about the mempool.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum TxsRequest {
    /// What has been waiting for a while.
    Waiting,
    /// These transactions.
    Get(Vec<[u8; 32]>),
}

/// The answer to a [`TxsRequest`] of the same kind.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum TxsAnswer {
    /// Ids.
    Waiting(Vec<[u8; 32]>),
    /// Raw transactions.
    Txs(Vec<Vec<u8>>),
}

/// Cuts transactions into gossip messages.
pub fn gossip_messages<T: AsRef<[u8]>>(txs: &[T]) -> Vec<Vec<u8>> {
    let (mut messages, mut current, mut bytes) = (Vec::new(), Vec::<&[u8]>::new(), 0);
    for tx in txs.iter().map(AsRef::as_ref) {
        if !current.is_empty() && bytes + tx.len() > GOSSIP_BYTES {
            messages.push(encode(&std::mem::take(&mut current)));
            bytes = 0;
        }
        bytes += tx.len() + 4;
        current.push(tx);
    }
    if !current.is_empty() {
        messages.push(encode(&current));
    }
    messages
}

/// The bytes of a message.
pub fn encode(message: &impl BorshSerialize) -> Vec<u8> {
    borsh::to_vec(message).expect("writing to memory does not fail")
}

/// A message, if the bytes are one.
pub fn decode<T: BorshDeserialize>(bytes: &[u8]) -> Option<T> {
    borsh::from_slice(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use welkin_p2p::chain::Topic;
    use welkin_runtime::tx::MAX_TRANSACTION_BYTES;

    #[test]
    fn every_transaction_fits_into_a_gossip_message_and_none_is_lost() {
        let txs: Vec<Vec<u8>> = [
            100,
            50_000,
            20_000,
            MAX_TRANSACTION_BYTES,
            1,
            30_000,
            30_000,
        ]
        .iter()
        .map(|bytes| vec![7; *bytes])
        .collect();
        let messages = gossip_messages(&txs);
        assert!(
            messages
                .iter()
                .all(|message| message.len() <= Topic::Transactions.max_bytes())
        );
        let read: Vec<Vec<u8>> = messages
            .iter()
            .flat_map(|message| decode::<Vec<Vec<u8>>>(message).unwrap())
            .collect();
        assert_eq!(read, txs);
    }

    #[test]
    fn a_length_that_is_a_lie_allocates_nothing() {
        assert!(decode::<Vec<Vec<u8>>>(&[0xff; 8]).is_none());
        assert!(decode::<BlocksAnswer>(&[0xff, 0xff, 0xff, 0x7f, 1]).is_none());
    }
}
