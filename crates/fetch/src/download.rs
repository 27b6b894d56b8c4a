//! The download itself: try, keep what came, wait, resume, check, rename.

use std::{io::Read, path::Path, time::Duration};

use ureq::{Agent, Body, http::Response};

use crate::{
    FetchError, Options, Progress,
    part::Part,
    request::{self, Failure},
};

/// A try that brought this much does not count as failed, so that a large file survives a line that breaks often.
const WORTHWHILE: u64 = 1 << 20;

/// Longest wait that a server may ask for.
const LONGEST_WAIT: u64 = 60;

/// Fetches `url` (`http` or `https`) into the file `to`, which is replaced if it exists.
///
/// The bytes go to `<to>.part` first and are resumed from there when an earlier call was cut. Nothing incomplete or
/// unchecked is ever visible under the name `to`. Redirects are followed, the proxies of the environment are used.
pub fn download(
    url: &str,
    to: &Path,
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<(), FetchError> {
    if options.offline {
        return Err(FetchError::Offline {
            url: url.to_owned(),
            to: to.to_owned(),
        });
    }
    let agent = request::agent(url, options)?;
    let Some(part) = Part::open(to)? else {
        return Ok(());
    };
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let mut download = Download {
        url,
        name: &name,
        agent,
        options,
        part,
        total: None,
        shown: 0,
    };
    let result = download
        .fetch(progress)
        .and_then(|resumed| download.check(resumed, progress));
    progress.finish();
    match result {
        Ok(()) => download.part.complete(),
        Err(error @ (FetchError::Hash { .. } | FetchError::TooLarge { .. })) => {
            download.part.discard()?;
            Err(error)
        }
        Err(error) => {
            // An empty part is of no use to the next run.
            if download.part.len() == 0 {
                download.part.discard()?;
            }
            Err(error)
        }
    }
}

/// A download under way.
struct Download<'a> {
    url: &'a str,
    name: &'a str,
    agent: Agent,
    options: &'a Options,
    part: Part,
    /// Bytes of the complete file, where the server says it.
    total: Option<u64>,
    /// Bytes told to the progress.
    shown: u64,
}

impl Download<'_> {
    /// Tries until the part is complete. True if some of it was there before.
    fn fetch(&mut self, progress: &mut dyn Progress) -> Result<bool, FetchError> {
        let kept = self.part.len();
        let mut resumed = kept > 0;
        let (mut tries, mut failures) = (0, 0);
        loop {
            tries += 1;
            let before = self.part.len();
            match self.attempt(&mut resumed, progress) {
                Ok(()) => return Ok(resumed),
                Err(failure) => {
                    if self.part.len() >= before + WORTHWHILE {
                        failures = 0;
                    }
                    failures += 1;
                    // Whoever answered once in this call is worth another try, even if the line is dead now.
                    let was_there = self.part.len() > kept;
                    match wait_for(&failure, failures, was_there) {
                        Some(wait) if failures <= self.options.retries => {
                            self.options.pause.pause(wait);
                        }
                        _ => return Err(self.error(failure, tries)),
                    }
                }
            }
        }
    }

    /// One request and the transfer that follows.
    fn attempt(&mut self, resumed: &mut bool, progress: &mut dyn Progress) -> Result<(), Failure> {
        let validator = self.part.validator(self.url);
        // With a hash to check at the end, a part can be resumed even if the server names no version.
        let resumable = validator.is_some() || self.options.sha256.is_some();
        let from = if resumable { self.part.len() } else { 0 };
        let response = request::ask(&self.agent, self.url, from, validator.as_deref())?;
        let range = request::content_range(response.headers());
        match (response.status().as_u16(), range) {
            (206, Some((Some(start), total))) if start == from && from > 0 => {
                self.total = total.or_else(|| {
                    request::content_length(response.headers()).map(|rest| from + rest)
                });
            }
            (416, Some((_, Some(total)))) if total == from && from > 0 => {
                self.total = Some(total);
                self.show_start(progress);
                return Ok(());
            }
            (200, _) => {
                *resumed = false;
                self.total = request::content_length(response.headers());
                let validator = request::validator(response.headers());
                self.part
                    .start_over(self.url, validator.as_deref())
                    .map_err(Failure::Final)?;
            }
            (status, _) => {
                // The rest that was asked for does not fit the part: the next try starts from nothing.
                self.part
                    .start_over(self.url, None)
                    .map_err(Failure::Final)?;
                return Err(if from > 0 {
                    Failure::Cut {
                        reason: "the file on the server has changed".to_owned(),
                    }
                } else {
                    Failure::Status {
                        status,
                        retry_after: None,
                    }
                });
            }
        }
        self.check_size(self.total)?;
        self.show_start(progress);
        self.receive(response, progress)
    }

    /// Appends the body to the part.
    fn receive(
        &mut self,
        response: Response<Body>,
        progress: &mut dyn Progress,
    ) -> Result<(), Failure> {
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            let n = body
                .read(&mut buffer)
                .map_err(|error| request::failure(self.url, error.into()))?;
            if n == 0 {
                break;
            }
            self.check_size(Some(self.part.len() + n as u64))?;
            self.part.append(&buffer[..n]).map_err(Failure::Final)?;
            progress.advance(n as u64);
            self.shown += n as u64;
        }
        match self.total {
            Some(total) if self.part.len() < total => Err(Failure::Cut {
                reason: "the server closed the connection".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Compares length and hash of the complete part with what was promised. A resumed part that disagrees is fetched
    /// again from nothing: the beginning may have been of another version.
    fn check(&mut self, resumed: bool, progress: &mut dyn Progress) -> Result<(), FetchError> {
        let Some(expected) = &self.options.sha256 else {
            return Ok(());
        };
        let found = self.part.sha256()?;
        if expected.matches(&found) {
            return Ok(());
        }
        if resumed {
            self.part.start_over(self.url, None)?;
            self.fetch(progress)?;
            return self.check(false, progress);
        }
        Err(FetchError::Hash {
            url: self.url.to_owned(),
            expected: expected.to_string(),
            found,
        })
    }

    /// Tells the progress where a try begins, when that is not where the last one ended.
    fn show_start(&mut self, progress: &mut dyn Progress) {
        if self.shown == 0 || self.shown != self.part.len() {
            progress.start(self.name, self.total);
            if self.part.len() > 0 {
                progress.advance(self.part.len());
            }
            self.shown = self.part.len();
        }
    }

    /// Refuses files that are too large.
    fn check_size(&self, size: Option<u64>) -> Result<(), Failure> {
        match size {
            Some(size) if size > self.options.max_bytes => {
                Err(Failure::Final(FetchError::TooLarge {
                    url: self.url.to_owned(),
                    size: self.total,
                    limit: self.options.max_bytes,
                }))
            }
            _ => Ok(()),
        }
    }

    /// The error for the user after the last try.
    fn error(&self, failure: Failure, tries: u32) -> FetchError {
        let url = self.url.to_owned();
        match failure {
            Failure::Final(error) => error,
            Failure::Status { status, .. } => FetchError::Status { url, status, tries },
            Failure::Connection { reason, .. } => FetchError::Connection { url, reason, tries },
            Failure::Timeout => FetchError::Timeout {
                url,
                waited: self.options.stall_timeout,
                tries,
            },
            Failure::Cut { reason } => FetchError::Cut {
                url,
                received: self.part.len(),
                total: self.total,
                reason,
                tries,
            },
        }
    }
}

/// How long to wait before the next try after `failures` in a row: 1, 2, 4 … seconds, or what the server asks for;
/// `None` if another try makes no sense.
fn wait_for(failure: &Failure, failures: u32, was_there: bool) -> Option<Duration> {
    let backoff = Duration::from_secs(1 << (failures - 1).min(5));
    match failure {
        Failure::Status {
            status: 408 | 429 | 500 | 502 | 503 | 504,
            retry_after,
        } => Some(match retry_after {
            Some(seconds) if *seconds > LONGEST_WAIT => return None,
            Some(seconds) => backoff.max(Duration::from_secs(*seconds)),
            None => backoff,
        }),
        Failure::Timeout | Failure::Cut { .. } => Some(backoff),
        Failure::Connection { passing, .. } => (*passing || was_there).then_some(backoff),
        Failure::Status { .. } | Failure::Final(_) => None,
    }
}
