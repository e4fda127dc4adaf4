//! Meter of the requests of one virtual machine.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::limits::Limits;
use crate::base::sync::Mutex;

/// Category of a request. Each has a limit of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// Tokens, and what else is below `/metadata/identity`.
    Identity,
    /// All other metadata.
    Metadata,
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "identity",
            Self::Metadata => "metadata",
        })
    }
}

/// Reason why a request is refused: the limit that its virtual machine has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Throttled {
    /// Too many requests in a second.
    #[error(
        "the virtual machine has reached its limit of {per_second} {category} requests per second"
    )]
    Rate {
        /// Category of the request.
        category: Category,
        /// The limit.
        per_second: NonZeroU32,
    },
    /// Too many requests at the same time.
    #[error("the virtual machine has reached its limit of {0} identity requests at the same time")]
    Concurrent(NonZeroU32),
}

/// Counts the requests of one virtual machine against its limits. No other machine has a part in it.
#[derive(Debug)]
pub struct Meter {
    limits: Limits,
    usage: Arc<Mutex<Usage>>,
}

impl Meter {
    /// Creates the meter of a virtual machine. `before` is its meter until now, whose counts go on.
    pub fn new(limits: Limits, before: Option<&Self>) -> Self {
        let usage = before.map(|meter| Arc::clone(&meter.usage));
        Self { limits, usage: usage.unwrap_or_default() }
    }

    /// Admits a request at `now_ns`, in nanoseconds of a clock that never goes back. A refused request counts for
    /// nothing.
    ///
    /// # Errors
    /// Returns the limit that is reached.
    pub fn admit(&self, category: Category, now_ns: u64) -> Result<Permit<'_>, Throttled> {
        let mut usage = self.usage.lock();
        let Limits { identity, concurrent, metadata } = self.limits;
        let per_second = match category {
            Category::Identity if usage.in_flight >= concurrent.get() => {
                return Err(Throttled::Concurrent(concurrent));
            }
            Category::Identity => identity,
            Category::Metadata => metadata,
        };
        if !usage.bucket(category).take(per_second, now_ns) {
            return Err(Throttled::Rate { category, per_second });
        }
        usage.in_flight += u32::from(category == Category::Identity);
        Ok(Permit { usage: &self.usage, category })
    }
}

/// Admission of one request. The request is in flight until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Permit<'a> {
    usage: &'a Mutex<Usage>,
    category: Category,
}

impl Permit<'_> {
    /// Gives the admission back, as if the request had never been there.
    pub fn give_back(self) {
        let mut usage = self.usage.lock();
        usage.bucket(self.category).give_back();
        usage.end(self.category);
        drop(usage);
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.usage.lock().end(self.category);
    }
}

/// What a virtual machine uses of its limits.
#[derive(Debug, Default)]
struct Usage {
    identity: Bucket,
    metadata: Bucket,
    in_flight: u32,
}

impl Usage {
    const fn bucket(&mut self, category: Category) -> &mut Bucket {
        match category {
            Category::Identity => &mut self.identity,
            Category::Metadata => &mut self.metadata,
        }
    }

    /// Counts that a request is no longer in flight.
    fn end(&mut self, category: Category) {
        self.in_flight -= u32::from(category == Category::Identity);
    }
}

/// Content that one request adds to a bucket. It leaks out at `limit` requests per second, which is a whole number
/// in each nanosecond. So nothing is ever rounded.
const REQUEST: u64 = 1_000_000_000;

/// A leaky bucket. It has room for the requests of one second.
#[derive(Debug, Default)]
struct Bucket {
    content: u64,
    /// Time of `content`, in nanoseconds.
    at_ns: u64,
}

impl Bucket {
    /// Adds a request if there is room for it.
    fn take(&mut self, per_second: NonZeroU32, now_ns: u64) -> bool {
        let per_second = u64::from(per_second.get());
        // Another thread may have read the clock later and come earlier. Then nothing has leaked.
        let leaked = now_ns.saturating_sub(self.at_ns).saturating_mul(per_second);
        let content = self.content.saturating_sub(leaked);
        let fits = content + REQUEST <= per_second * REQUEST;
        self.content = if fits { content + REQUEST } else { content };
        self.at_ns = self.at_ns.max(now_ns);
        fits
    }

    /// Removes a request that was added.
    const fn give_back(&mut self) {
        self.content = self.content.saturating_sub(REQUEST);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use proptest::prelude::*;

    use super::*;
    use crate::service::world::Throttle;

    const SECOND_NS: u64 = 1_000_000_000;

    fn meter(text: &str) -> Meter {
        Meter::new(text.parse::<Throttle>().unwrap().limits().unwrap(), None)
    }

    fn admitted(meter: &Meter, category: Category, now_ns: u64, requests: u32) -> usize {
        (0..requests).filter(|_| meter.admit(category, now_ns).is_ok()).count()
    }

    #[test]
    fn a_second_of_requests_passes_at_once_and_then_one_at_each_interval() {
        let meter = meter("azure");
        for (category, per_second) in [(Category::Identity, 20), (Category::Metadata, 5)] {
            let interval = SECOND_NS / per_second;
            let burst = usize::try_from(per_second).unwrap();
            assert_eq!(admitted(&meter, category, 0, 1000), burst);
            assert_eq!(admitted(&meter, category, interval - 1, 10), 0);
            assert_eq!(admitted(&meter, category, interval, 10), 1);
            assert_eq!(admitted(&meter, category, 3 * interval, 10), 2);
            assert_eq!(admitted(&meter, category, u64::MAX / 2, 1000), burst);
        }
    }

    #[test]
    fn requests_in_flight_are_limited_until_they_end_in_whatever_way() {
        let meter = meter("identity=1000/s,concurrent=2");
        let (first, second) =
            (meter.admit(Category::Identity, 0), meter.admit(Category::Identity, 0));
        let refused = meter.admit(Category::Identity, 0).unwrap_err();
        assert_eq!(refused, Throttled::Concurrent(2.try_into().unwrap()));
        assert!(meter.admit(Category::Metadata, 0).is_ok());
        drop(first);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _permit = meter.admit(Category::Identity, 0).unwrap();
            panic!("of a handler");
        }));
        assert!(panicked.is_err());
        let third = meter.admit(Category::Identity, 0);
        assert!(third.is_ok() && meter.admit(Category::Identity, 0).is_err());
        drop((second, third));
        assert_eq!(meter.usage.lock().in_flight, 0);
    }

    #[test]
    fn a_refusal_for_requests_in_flight_does_not_count_against_the_rate() {
        let meter = meter("identity=2/s,concurrent=1");
        let first = meter.admit(Category::Identity, 0).unwrap();
        assert_eq!(admitted(&meter, Category::Identity, 0, 100), 0);
        drop(first);
        assert_eq!(admitted(&meter, Category::Identity, 0, 100), 1);
    }

    #[test]
    fn new_limits_of_a_machine_keep_what_it_has_used() {
        let meter = meter("identity=10/s");
        assert_eq!(admitted(&meter, Category::Identity, 0, 100), 10);
        for (identity, left) in [(15, 5), (4, 0)] {
            let identity = identity.try_into().unwrap();
            let changed = Meter::new(Limits { identity, ..meter.limits }, Some(&meter));
            assert_eq!(admitted(&changed, Category::Identity, 0, 100), left);
        }
    }

    /// Naive model of a bucket: the exact times at which the admitted requests have leaked out, in units of
    /// 1 / limit nanoseconds. A request leaks out one interval after the one before, or after it came.
    struct Model {
        limit: u32,
        leaks_at: VecDeque<u128>,
        now_ns: u64,
    }

    impl Model {
        fn admit(&mut self, now_ns: u64) -> bool {
            self.now_ns = self.now_ns.max(now_ns);
            let now = u128::from(self.now_ns) * u128::from(self.limit);
            self.leaks_at.retain(|at| *at > now);
            // The oldest request is still leaking: its rest takes up room.
            let fits = self.leaks_at.back().is_none_or(|last| {
                last - now + u128::from(SECOND_NS) <= u128::from(self.limit) * u128::from(SECOND_NS)
            });
            if fits {
                let last = self.leaks_at.back().copied().unwrap_or(now);
                self.leaks_at.push_back(last + u128::from(SECOND_NS));
            }
            fits
        }
    }

    proptest! {
        #[test]
        fn a_bucket_admits_exactly_what_the_model_admits(
            limit in 1..50_u32,
            gaps in proptest::collection::vec(
                prop_oneof![Just(0), 1..1000_u64, 1..SECOND_NS / 10, 1..3 * SECOND_NS],
                1..300,
            ),
        ) {
            let mut bucket = Bucket::default();
            let mut model = Model { limit, leaks_at: VecDeque::new(), now_ns: 0 };
            let mut now_ns = 0;
            for gap in gaps {
                now_ns += gap;
                prop_assert_eq!(bucket.take(limit.try_into().unwrap(), now_ns), model.admit(now_ns));
            }
        }

        #[test]
        fn no_window_has_more_than_a_burst_and_the_rate_over_its_length(
            limit in 1..50_u32,
            gaps in proptest::collection::vec(0..SECOND_NS / 20, 1..300),
        ) {
            let (mut bucket, mut now_ns, mut times) = (Bucket::default(), 0, Vec::new());
            for gap in gaps {
                now_ns += gap;
                if bucket.take(limit.try_into().unwrap(), now_ns) {
                    times.push(now_ns);
                }
            }
            for (first, from) in times.iter().enumerate() {
                for (last, to) in times.iter().enumerate().skip(first) {
                    let most = u64::from(limit) * (SECOND_NS + to - from) / SECOND_NS;
                    prop_assert!((last - first + 1) as u64 <= most);
                }
            }
        }

        #[test]
        fn what_is_given_back_was_never_there(limit in 1..50_u32, requests in 0..100_u32, now_ns in 0..SECOND_NS) {
            let limits = Limits { identity: limit.try_into().unwrap(), ..meter("azure").limits };
            let [used, other] = [(); 2].map(|()| Meter::new(limits, None));
            for request in 0..requests {
                if let Ok(permit) = used.admit(Category::Identity, now_ns) {
                    if request % 2 == 0 { permit.give_back() } else { drop(permit) }
                }
                if request % 2 == 1 {
                    let _ = other.admit(Category::Identity, now_ns);
                }
            }
            let [used, other] = [used, other].map(|meter| meter.usage.lock().identity.content);
            prop_assert_eq!(used, other);
        }

        #[test]
        fn a_clock_that_threads_read_out_of_order_admits_no_more(
            limit in 1..50_u32,
            times in proptest::collection::vec(0..SECOND_NS, 1..200),
        ) {
            let mut bucket = Bucket::default();
            let admitted = times.iter().filter(|now| bucket.take(limit.try_into().unwrap(), **now)).count();
            prop_assert!(admitted as u64 <= 2 * u64::from(limit));
        }
    }
}
