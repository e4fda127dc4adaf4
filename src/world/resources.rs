//! The resources that tokens may be asked for.

use std::collections::HashMap;

/// Position of a resource, in one exact spelling, among those of its world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResourceIndex(u32);

impl ResourceIndex {
    /// The bare number, for building a cache key.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The known resources: inside the broker they are small integers, so that a cache key is one `u64`
/// and a lookup compares no strings.
#[derive(Debug, Default)]
pub struct Resources {
    names: Vec<Box<str>>,
    by_name: HashMap<Box<str>, ResourceIndex, foldhash::fast::RandomState>,
}

impl Resources {
    /// Adds a resource in one spelling; one that is there keeps its place.
    pub fn add(&mut self, name: &str) {
        let Ok(next) = u32::try_from(self.names.len()) else { return };
        if !self.by_name.contains_key(name) {
            self.names.push(name.into());
            self.by_name.insert(name.into(), ResourceIndex(next));
        }
    }

    /// The resource of exactly this spelling, if the directory knows it.
    pub fn named(&self, name: &str) -> Option<ResourceIndex> {
        self.by_name.get(name).copied()
    }

    /// The spelling of the resource at `index`, which becomes the audience of its tokens; empty for an
    /// index of another world.
    pub fn name(&self, index: ResourceIndex) -> &str {
        self.names.get(index.0 as usize).map_or("", |name| name)
    }

    /// Every resource.
    pub fn indices(&self) -> impl Iterator<Item = ResourceIndex> + use<> {
        (0..u32::try_from(self.names.len()).unwrap_or(u32::MAX)).map(ResourceIndex)
    }
}
