//! One running view: everything the supervisor keeps.
//!
//! Receivers share it by reference. What a descriptor of a tracee stands for is kept by identity of its backing
//! object, so nothing here follows fork, dup or close.
//!
//! Neighbours: `intercept` (calls come in), `syscall` (uses all of it), `mounting` (changes the namespaces).
//! Locks: each field that is one (`namespaces`, `special_nodes`, `aliases`, `socket_names`, `assumed_directories`,
//! `undumpable`, `received`, `nameless`, `gone`) is a leaf: under it only /proc is read, no other lock is taken and no module is
//! asked.
//! `OpenDirectory::position` is held while nothing but a number is changed.

use crate::control::modules::Modules;
use crate::control::protocol::LogLevel;
use crate::private_directory::PrivateDirectory;
use parking_lot::{Condvar, Mutex, RwLock};
use std::collections::{HashMap, HashSet};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;
use view_vfs::attributes::{Identity, Kind};
use view_vfs::backing::Backings;
use view_vfs::marker::Markers;
use view_vfs::mount_table::{Mount, Namespace, Root};
use view_vfs::object::Dentry;
use view_vfs::page_cache::PageCache;
use view_vfs::place::Place;

/// What a kernel object that the view made stands for.
#[derive(Debug)]
pub enum Backed {
    /// A regular file of a module.
    File(Place),
    /// A marker directory: an opened or entered directory, or another object opened with O_PATH.
    Marker(OpenDirectory),
}

impl Backed {
    /// The object.
    pub fn place(&self) -> Place {
        match self {
            Backed::File(place) => place.clone(),
            Backed::Marker(directory) => directory.place(),
        }
    }
}

impl OpenDirectory {
    /// The directory, by its present name.
    pub fn place(&self) -> Place {
        if let (Place::Host { mount, .. }, Some(object)) = (&self.place, &self.object)
            && let Ok(path) =
                rustix::fs::readlink(format!("/proc/self/fd/{}", object.as_raw_fd()), Vec::new())
        {
            return Place::Host {
                mount: mount.clone(),
                path: path.into_bytes(),
            };
        }
        self.place.clone()
    }
}

/// An open file description of a directory.
#[derive(Debug)]
pub struct OpenDirectory {
    /// The directory, as it was named when it was opened.
    place: Place,
    /// A directory of the host, which may be moved: held, so that its name can be asked for.
    object: Option<OwnedFd>,
    /// Where the next getdents64(2) goes on, on hosts where the description's own position can't be reached.
    pub position: Mutex<u64>,
}

/// What stood for files that have gone.
#[derive(Default)]
pub struct Gone {
    list: Mutex<Vec<Arc<Backed>>>,
    wake: Condvar,
    /// Somebody waits, and has not been woken.
    is_awaited: AtomicBool,
}

impl Gone {
    /// Waits until there is something, or until `deadline`.
    pub fn wait(&self, deadline: Instant) {
        let mut list = self.list.lock();
        if list.is_empty() {
            self.is_awaited.store(true, Ordering::SeqCst);
            self.wake.wait_until(&mut list, deadline);
            self.is_awaited.store(false, Ordering::SeqCst);
        }
    }

    /// Wakes who waits.
    fn wake(&self) {
        if self.is_awaited.swap(false, Ordering::SeqCst) {
            self.wake.notify_one();
        }
    }
}

/// What this host allows, found out once at the start.
#[derive(Debug, Clone, Copy)]
pub struct HostAbilities {
    /// pidfd_getfd(2) on a tracee works.
    pub can_get_descriptors: bool,
    /// Receivers are best woken on the tracee's CPU.
    pub wakes_synchronously: bool,
}

/// One running view.
pub struct View {
    /// Its name.
    pub name: String,
    /// Lets calls of the launcher and injected calls through the filter.
    pub cookie: u64,
    /// The outermost namespace.
    pub namespace: Arc<Namespace>,
    /// Which place a kernel object stands for.
    pub backings: Backings<Arc<Backed>>,
    /// Directories that stand for directories.
    pub markers: Arc<Markers>,
    /// Files that stand for files.
    pub page_cache: Arc<PageCache>,
    /// Files of modules that lost a name while a process had them open.
    nameless: Mutex<Vec<Identity>>,
    /// What stood for files that have gone: dropped by housekeeping, since dropping one may take any lock.
    gone: Arc<Gone>,
    /// Filesystem types.
    pub modules: Arc<dyn Modules>,
    /// What the host allows.
    pub abilities: HostAbilities,
    /// Real nodes for FIFOs and sockets of modules, and names for programs being executed.
    pub private: PrivateDirectory,
    /// Ids of the supervisor, which all tracees share unless it is root.
    pub credentials: view_vfs::credentials::Credentials,
    /// Set before the first process starts, when the view has ids of its own.
    pub identity: OnceLock<crate::identity::ViewIdentity>,
    /// What is said on stderr.
    pub log_level: LogLevel,
    /// Real nodes of FIFOs and sockets: (device, inode) of the module's inode to a path in `private`.
    pub special_nodes: Mutex<HashMap<Identity, Vec<u8>>>,
    /// Child namespaces: the process at their root.
    namespaces: RwLock<Vec<(u32, Arc<Namespace>)>>,
    /// Files of the host that were opened or executed through a mount: which mount's names /proc shall tell.
    aliases: Mutex<HashMap<Identity, Arc<Mount>>>,
    /// What programs called the sockets that they bound on a mount, by the real path.
    pub socket_names: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
    /// Working directories of processes that another tracer held when they changed it, so that the kernel's could
    /// not follow; and whether there are any.
    pub assumed_directories: Mutex<HashMap<u32, Place>>,
    /// See `assumed_directories`.
    pub has_assumed_directories: AtomicBool,
    /// Processes that asked not to be dumpable.
    pub undumpable: Mutex<HashSet<u32>>,
    /// Calls that a receiver took before the signal of the same thread returned; see `syscall::signal`.
    pub received: crate::syscall::signal::Received,
    /// The last relative path began at something that the view made.
    pub begins_at_stand_ins: AtomicBool,
    /// What is kept of threads between their calls.
    pub callers: crate::callers::Callers,
    /// By which their descriptors are reached.
    pub pidfds: crate::pidfds::Pidfds,
    /// Calls that stopped threads make to have descriptors replaced.
    pub exchanges: crate::relocation::Exchanges,
    /// Who writes to a filesystem that is nearly full.
    pub space: Arc<crate::space::Space>,
}

impl View {
    /// Everything a view keeps, with nothing mounted.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        name: String,
        cookie: u64,
        namespace: Arc<Namespace>,
        page_cache: Arc<PageCache>,
        modules: Arc<dyn Modules>,
        abilities: HostAbilities,
        log_level: LogLevel,
    ) -> Result<Arc<Self>, rustix::io::Errno> {
        let own: Arc<OnceLock<Weak<View>>> = Arc::default();
        let known = own.clone();
        let markers = Markers::new(Box::new(move |identity| {
            if let Some(view) = known.get().and_then(Weak::upgrade) {
                view.backings.remove(identity);
            }
        }))?;
        let private = PrivateDirectory::inside(markers.directory())?;
        let view = Arc::new(View {
            name,
            cookie,
            namespace,
            backings: Backings::new(),
            markers,
            page_cache,
            nameless: Mutex::default(),
            gone: Arc::default(),
            modules,
            abilities,
            private,
            credentials: view_vfs::credentials::Credentials::current(),
            identity: OnceLock::new(),
            log_level,
            special_nodes: Mutex::new(HashMap::new()),
            namespaces: RwLock::new(Vec::new()),
            aliases: Mutex::new(HashMap::new()),
            socket_names: Mutex::new(HashMap::new()),
            assumed_directories: Mutex::new(HashMap::new()),
            has_assumed_directories: AtomicBool::new(false),
            undumpable: Mutex::new(HashSet::new()),
            received: crate::syscall::signal::Received::default(),
            begins_at_stand_ins: AtomicBool::new(false),
            callers: crate::callers::Callers::default(),
            pidfds: crate::pidfds::Pidfds::default(),
            exchanges: crate::relocation::Exchanges::default(),
            space: Arc::default(),
        });
        let _ = own.set(Arc::downgrade(&view));
        let (known, gone) = (own, view.gone.clone());
        view.page_cache.on_release(Box::new(move |identity| {
            if let Some(view) = known.get().and_then(Weak::upgrade)
                && let Some(backed) = view.backings.remove(identity)
            {
                gone.list.lock().push(backed);
                gone.wake();
            }
        }));
        Ok(view)
    }

    /// Is the view still equal to the host, so that every call may go on as it is?
    pub fn is_idle(&self) -> bool {
        self.identity.get().is_none()
            && self.backings.is_empty()
            && self.namespaces.read().is_empty()
            && self.namespace.table().is_empty()
    }

    /// Makes `process` the root of a child namespace.
    pub fn add_namespace(&self, process: u32, namespace: Arc<Namespace>) {
        let mut namespaces = self.namespaces.write();
        namespaces.retain(|(root, _)| *root != process);
        namespaces.push((process, namespace));
    }

    /// Forgets the namespaces whose processes are gone, and gives their mounts.
    pub fn forget_namespaces(&self) -> Vec<Arc<Mount>> {
        let gone: Vec<_> = {
            let mut namespaces = self.namespaces.write();
            namespaces
                .extract_if(.., |(root, _)| crate::task::has_ended(*root))
                .collect()
        };
        gone.iter()
            .flat_map(|(_, namespace)| namespace.table().mounts().to_vec())
            .collect()
    }

    /// The namespace of a thread: that of the nearest ancestor which is the root of one.
    pub fn namespace_of(&self, thread: u32) -> Arc<Namespace> {
        let namespaces = self.namespaces.read();
        if namespaces.is_empty() {
            return self.namespace.clone();
        }
        let mut process = crate::task::process_of(thread);
        // A chain of ancestors is finite; the bound only guards against a tree that changes under us.
        for _ in 0..4096 {
            let Some(id) = process else { break };
            if let Some((_, namespace)) = namespaces.iter().find(|(root, _)| *root == id) {
                return namespace.clone();
            }
            process = crate::task::parent_of(id).filter(|&parent| parent > 1);
        }
        self.namespace.clone()
    }

    /// All namespaces.
    pub fn all_namespaces(&self) -> Vec<Arc<Namespace>> {
        let mut all = vec![self.namespace.clone()];
        all.extend(
            self.namespaces
                .read()
                .iter()
                .map(|(_, namespace)| namespace.clone()),
        );
        all
    }

    /// Remembers what a marker stands for.
    pub fn register_marker(&self, identity: Identity, place: Place) {
        let object = place
            .host_path()
            .and_then(|path| view_vfs::host_ops::open_path(path).ok());
        let directory = OpenDirectory {
            place,
            object,
            position: Mutex::new(0),
        };
        self.backings
            .register(identity, Arc::new(Backed::Marker(directory)));
    }

    /// Remembers what a file stands for.
    pub fn register_file(&self, identity: Identity, place: Place) {
        self.backings
            .register(identity, Arc::new(Backed::File(place)));
        if self.backings.len() >= 512 && self.backings.len().is_multiple_of(256) {
            self.collect();
        }
    }

    /// Remembers that the host file at `path` was reached through `mount`.
    pub fn note_alias(&self, path: &[u8], mount: &Arc<Mount>) {
        if mount.is_transparent() {
            return;
        }
        if let Some(identity) = crate::task::host_identity(path) {
            self.note_alias_of(identity, mount);
        }
    }

    /// The same for a file already open.
    pub fn note_alias_of(&self, identity: Identity, mount: &Arc<Mount>) {
        const MOST: usize = 8192;
        if mount.is_transparent() {
            return;
        }
        let mut aliases = self.aliases.lock();
        if aliases.len() >= MOST {
            aliases.clear();
        }
        aliases.insert(identity, mount.clone());
    }

    /// The mount through which a host file was reached, if it was not by its own name.
    pub fn alias_mount(&self, identity: Identity) -> Option<Arc<Mount>> {
        self.aliases.lock().get(&identity).cloned()
    }

    /// What `text`, the name that Linux tells for a file, is called in the view, if it was reached through a mount.
    pub fn alias(&self, identity: Identity, text: &[u8]) -> Option<Vec<u8>> {
        let mount = self.aliases.lock().get(&identity)?.clone();
        let Root::Host(root) = mount.root() else {
            return None;
        };
        let rest = text.strip_prefix(root.as_slice())?;
        let mut name = mount.point()?.view_path();
        if !rest.is_empty() && !rest.starts_with(b"/") && root != b"/" {
            return None;
        }
        if root == b"/" && !name.ends_with(b"/") {
            name.push(b'/');
        }
        name.extend_from_slice(rest);
        Some(name)
    }

    /// Lets the places of files that have gone go: their modules can give the space away.
    pub fn drop_gone(&self) {
        let gone = std::mem::take(&mut *self.gone.list.lock());
        drop(gone);
    }

    /// What waits for [`View::drop_gone`].
    pub fn gone(&self) -> &Arc<Gone> {
        &self.gone
    }

    /// A file lost a name, or never had one: if no process has it open nothing of it is kept, so that its module can
    /// give the space away; else that is looked at again when something is created, and soon by the clock.
    pub fn note_nameless(&self, dentry: &Arc<Dentry>) {
        if let Some(identity) = dentry.inode().passed_through()
            && self.is_in_use(identity)
        {
            self.nameless.lock().push(identity);
            self.gone.wake();
        }
    }

    /// Lets the descriptors go that only save time. Were there any?
    pub fn spares_descriptors(&self) -> bool {
        self.callers.clear() | self.pidfds.clear()
    }

    /// Looks again at the files without a name. Is one of them still open?
    pub fn collect_nameless(&self) -> bool {
        let nameless = std::mem::take(&mut *self.nameless.lock());
        if nameless.is_empty() {
            return false;
        }
        let in_use: Vec<Identity> = nameless
            .into_iter()
            .filter(|&identity| self.is_in_use(identity))
            .collect();
        let is_one_open = !in_use.is_empty();
        self.nameless.lock().extend(in_use);
        is_one_open
    }

    /// Is the file open in a process? One that is not is forgotten.
    fn is_in_use(&self, identity: Identity) -> bool {
        self.backings
            .keep_if(identity, |backed| is_open(identity, backed))
    }

    /// Forgets files that no process has open.
    pub fn collect(&self) {
        self.drop_gone();
        self.backings.retain(is_open);
    }

    /// Forgets what everything stands for, when no process is left.
    pub fn forget_everything(&self) {
        self.backings.retain(|_, _| false);
        let aliases = std::mem::take(&mut *self.aliases.lock());
        let assumed = std::mem::take(&mut *self.assumed_directories.lock());
        let namespaces = std::mem::take(&mut *self.namespaces.write());
        drop((aliases, assumed, namespaces));
        self.collect();
    }

    /// The working directory that only the view knows of, of a process or of the parent that it was forked by.
    pub fn assumed_directory(&self, process: u32) -> Option<Place> {
        if !self.has_assumed_directories.load(Ordering::Acquire) {
            return None;
        }
        let mut assumed = self.assumed_directories.lock();
        if let Some(place) = assumed.get(&process) {
            return Some(place.clone());
        }
        let place = assumed.get(&crate::task::parent_of(process)?)?.clone();
        assumed.insert(process, place.clone());
        Some(place)
    }

    /// Sets or, with `None`, ends that.
    pub fn assume_directory(&self, process: u32, place: Option<Place>) {
        let mut assumed = self.assumed_directories.lock();
        match place {
            Some(place) => {
                assumed.retain(|process, _| crate::task::parent_of(*process).is_some());
                assumed.insert(process, place);
            }
            None => {
                assumed.remove(&process);
            }
        }
        self.has_assumed_directories
            .store(!assumed.is_empty(), Ordering::Release);
    }

    /// Removes what the view made for itself on the host; its last act.
    pub fn remove_private_files(&self) {
        let _ = std::fs::remove_dir_all(self.markers.directory());
    }

    /// Says a line on stderr, if the level asks for it.
    pub fn say(&self, level: LogLevel, line: &str) {
        if level <= self.log_level {
            crate::say(line);
        }
    }
}

/// Does a process have open what stands for something? Only of regular files that is found out.
fn is_open(identity: Identity, backed: &Arc<Backed>) -> bool {
    match &**backed {
        Backed::File(Place::Node { dentry, .. }) if dentry.kind() == Kind::RegularFile => {
            dentry.is_opened_elsewhere(identity)
        }
        Backed::File(_) | Backed::Marker(_) => true,
    }
}
