//! The download itself: try, keep what came, wait, resume, check, rename.

use std::{io::Read, path::Path};

use ureq::{Body, http::Response};

use crate::{
    FetchError, Options, Progress,
    part::Part,
    request::{self, Failure, Wanted},
    tries::Tries,
};

/// A try that brought this much does not count as failed, so that a large file survives a line that breaks often.
const WORTHWHILE: u64 = 1 << 20;

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
            to: Some(to.to_owned()),
        });
    }
    request::address(url)?;
    let Some(part) = Part::open(to)? else {
        return Ok(());
    };
    let own = to.file_name().unwrap_or_default().to_string_lossy();
    let mut download = Download {
        url,
        name: options.name.as_deref().unwrap_or(&own),
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
        Err(
            error @ (FetchError::Hash { .. }
            | FetchError::TooLarge { .. }
            | FetchError::Size { .. }),
        ) => {
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
        let mut tries = Tries::new(self.options, self.name);
        loop {
            tries.made += 1;
            let before = self.part.len();
            match self.attempt(&mut resumed, progress) {
                Ok(()) => return Ok(resumed),
                Err(failure) => {
                    if self.part.len() >= before + WORTHWHILE {
                        tries.forgive();
                    }
                    if !tries.again(&failure, self.part.len() > kept, progress) {
                        let so_far = (self.part.len(), self.total);
                        return Err(failure.into_error(self.url, tries.made, so_far));
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
        let wanted = Wanted::Bytes(from, validator.as_deref());
        let response = request::ask(self.url, &wanted, self.options)?;
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
                        said: None,
                    }
                });
            }
        }
        self.check_total()?;
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
                .map_err(|error| request::failure(self.url, error.into(), self.options))?;
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
            Some(total) if self.part.len() > total => {
                Err(self.another_size(total, self.part.len()))
            }
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

    /// Refuses a file that is too large, or not as large as it should be, by what the server says.
    fn check_total(&mut self) -> Result<(), Failure> {
        match (self.options.size, self.total) {
            (Some(expected), Some(found)) if expected != found => {
                return Err(self.another_size(expected, found));
            }
            (expected, found) => self.total = found.or(expected),
        }
        self.check_size(self.total)
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

    fn another_size(&self, expected: u64, found: u64) -> Failure {
        Failure::Final(FetchError::Size {
            url: self.url.to_owned(),
            expected,
            found,
        })
    }
}
