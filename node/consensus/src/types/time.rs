//! Points in time as Tendermint carries them.

/// A point in time: seconds and nanoseconds since the Unix epoch, in UTC.
///
/// The default is the Unix epoch. Go's zero time, which absent commit signatures carry, is
/// [`Timestamp::ZERO`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since the Unix epoch; negative before it.
    pub seconds: i64,
    /// Nanoseconds within the second, 0 to 999,999,999.
    pub nanos: i32,
}

impl Timestamp {
    /// Go's zero time, 0001-01-01T00:00:00Z.
    pub const ZERO: Timestamp = Timestamp { seconds: -62_135_596_800, nanos: 0 };
}
