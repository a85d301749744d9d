//! Lists in pages.

/// The longest page.
pub const MAX_PAGE: u32 = 100;

/// For queries that name no limit.
pub(crate) fn default_limit() -> u32 {
    MAX_PAGE
}

/// How many rows to read for a page of `limit`: one more than it holds, which tells whether there
/// is another page.
pub(crate) fn rows_to_read(limit: u32) -> usize {
    limit.clamp(1, MAX_PAGE) as usize + 1
}

/// Cuts what was read by [`rows_to_read`] to the page, and says where the next one begins: after
/// the last row of this one.
pub(crate) fn cut<R, K>(
    mut rows: Vec<R>,
    limit: u32,
    key: impl Fn(&R) -> K,
) -> (Vec<R>, Option<K>) {
    let limit = rows_to_read(limit) - 1;
    if rows.len() <= limit {
        return (rows, None);
    }
    rows.truncate(limit);
    let next = rows.last().map(key);
    (rows, next)
}
