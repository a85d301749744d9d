//! What a chain committed, read from its blocks: their headers' times are the clock.

use super::rpc::{Connection, number};
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use welkin_consensus::types::Timestamp;

/// A block, as far as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockCount {
    /// Its height.
    pub height: u64,
    /// The time in its header: when the block before it was committed.
    pub unix_nanos: i128,
    /// Transactions in it.
    pub transactions: u64,
}

/// What was committed in a stretch of blocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Throughput {
    /// Transactions.
    pub transactions: u64,
    /// Blocks that hold them.
    pub blocks: u64,
    /// From the first header's time to the moment the last was committed.
    pub seconds: f64,
}

impl Throughput {
    /// Transactions a second.
    pub fn per_second(self) -> f64 {
        self.transactions as f64 / self.seconds
    }
}

/// The newest height.
///
/// # Errors
/// The node does not answer.
pub async fn newest(connection: &mut Connection) -> anyhow::Result<u64> {
    let status = connection.call("status", json!({})).await?;
    number(&status["sync_info"]["latest_block_height"])
}

/// Blocks `from..=to`.
///
/// # Errors
/// The node does not have one of them.
pub async fn read(
    connection: &mut Connection,
    from: u64,
    to: u64,
) -> anyhow::Result<Vec<BlockCount>> {
    let mut blocks = Vec::new();
    for height in from..=to {
        let answer = connection
            .call("block", json!({ "height": height.to_string() }))
            .await?;
        blocks.push(count(&answer["block"]).with_context(|| format!("block {height}"))?);
    }
    Ok(blocks)
}

fn count(block: &Value) -> anyhow::Result<BlockCount> {
    let header = &block["header"];
    let time: Timestamp = serde_json::from_value(header["time"].clone())?;
    Ok(BlockCount {
        height: number(&header["height"])?,
        unix_nanos: time.unix_nanos(),
        transactions: block["data"]["txs"].as_array().map_or(0, Vec::len) as u64,
    })
}

/// What was committed from the first block with transactions on, for as long as `seconds` say.
///
/// A header carries the moment in which the block before it was committed, so what lies between two headers' times are
/// the commits of the blocks from the first of them up to the one before the second.
///
/// # Errors
/// There are not enough blocks with transactions.
pub fn throughput(blocks: &[BlockCount], seconds: f64) -> anyhow::Result<Throughput> {
    let busy = blocks.iter().position(|block| block.transactions > 0);
    let first = busy.context("no block has a transaction")?;
    let begin = blocks[first].unix_nanos;
    let seconds_of = |block: &BlockCount| (block.unix_nanos - begin) as f64 / 1e9;
    let last = blocks[first..]
        .iter()
        .rposition(|block| seconds_of(block) <= seconds)
        .map_or(first, |position| first + position);
    ensure!(last > first, "the load was over within one block");
    let counted = &blocks[first..last];
    Ok(Throughput {
        transactions: counted.iter().map(|block| block.transactions).sum(),
        blocks: counted
            .iter()
            .filter(|block| block.transactions > 0)
            .count() as u64,
        seconds: seconds_of(&blocks[last]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(height: u64, seconds: i128, transactions: u64) -> BlockCount {
        BlockCount {
            height,
            unix_nanos: seconds * 1_000_000_000,
            transactions,
        }
    }

    #[test]
    fn a_block_counts_when_the_time_of_its_commit_is_within_the_load() {
        let blocks = [
            block(1, 0, 0),
            block(2, 10, 5),
            block(3, 11, 7),
            block(4, 12, 9),
            block(5, 20, 1),
        ];
        let found = throughput(&blocks, 2.5).unwrap();
        assert_eq!(
            found,
            Throughput {
                transactions: 12,
                blocks: 2,
                seconds: 2.0
            }
        );
        assert!((found.per_second() - 6.0).abs() < f64::EPSILON);
    }

    #[test]
    fn without_transactions_there_is_no_figure() {
        assert!(throughput(&[block(1, 0, 0), block(2, 1, 0)], 9.0).is_err());
    }
}
