//! What a download tells while it runs.

/// Follows one download at a time.
pub trait Progress {
    /// A download begins: the file's name and its size in bytes where the server says it. Called again for the same
    /// file when the transfer starts over.
    fn start(&mut self, name: &str, total: Option<u64>);
    /// So many more bytes are there. Bytes kept from an earlier attempt are told once, at the start.
    fn advance(&mut self, bytes: u64);
    /// The download is over, in success or failure.
    fn finish(&mut self);
    /// Something that a person who waits would like to know, such as that a server is busy and asked again.
    fn note(&mut self, text: &str) {
        let _ = text;
    }
}

/// Tells nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {
    fn start(&mut self, _name: &str, _total: Option<u64>) {}
    fn advance(&mut self, _bytes: u64) {}
    fn finish(&mut self) {}
}
