//! Every word of cmsh's that this crate types or recognises, as data.
//!
//! Nothing else in `cmsh/` may know a word of cmsh's: a [`Script`](super::script::Script) takes what
//! is [`Typed`] and names, a row is asked by [`Property`], and a test reads the sources for literals that go
//! past this table. What is believed of each word, from where, and what happens if it is wrong, stands in
//! `docs/bright-beliefs.md`; a test compares the two, in both directions.
//!
//! To add a word: one line here, and one row in the ledger, whose id is `group/name`, as
//! `option/no-startup-file` for `NoStartupFile`. `cargo test -p bright-adapter lexicon` says what is missing.

use runbook_core::world::InstallMode;

mod sealed {
    /// Keeps `Word` to the enums of this file.
    pub(crate) trait Sealed {}
}

/// A word of cmsh's.
pub(crate) trait Word: Copy + sealed::Sealed + 'static {
    /// All of its group.
    const ALL: &'static [Self];

    /// As it is typed or printed.
    fn text(self) -> &'static str;

    /// The word of this group that a text is, whatever its case.
    fn of(text: &str) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|word| word.text().eq_ignore_ascii_case(text))
    }

    /// Whether a text begins with it, whatever its case.
    fn begins(self, text: &str) -> bool {
        let begin = text.get(..self.text().len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(self.text()))
    }

    /// Whether a text ends with it, whatever its case.
    fn ends(self, text: &str) -> bool {
        let word = self.text();
        let at = text.len().checked_sub(word.len());
        at.and_then(|at| text.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(word))
    }

    /// Whether a text in lower case holds it.
    fn is_in(self, lower: &str) -> bool {
        lower.contains(&self.text().to_ascii_lowercase())
    }
}

/// A word that may stand in a script; the others are only recognised.
pub(crate) trait Typed: Word {}

macro_rules! table {
    ($($(#[$doc:meta])* $how:ident $kind:ident $group:literal {
        $($variant:ident = $text:literal),* $(,)?
    })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
            pub(crate) enum $kind { $($variant),* }

            impl sealed::Sealed for $kind {}

            impl Word for $kind {
                const ALL: &'static [Self] = &[$(Self::$variant),*];

                fn text(self) -> &'static str {
                    match self { $(Self::$variant => $text),* }
                }
            }

            table!(@$how $kind);
        )*

        /// The whole table: each word with its group and its name.
        #[cfg(test)]
        fn all() -> Vec<(&'static str, &'static str, &'static str)> {
            vec![$($(($group, stringify!($variant), $text)),*),*]
        }
    };
    (@typed $kind:ident) => { impl Typed for $kind {} };
    (@read $kind:ident) => {};
}

table! {
    /// How cmsh is called, in this order.
    typed Opt "option" {
        NoStartupFile = "-n",
        NoColour = "--color=no",
        HideEvents = "--hide-events",
        QuitAtError = "-q",
        Batch = "-c",
    }
    /// Modes, each entered in a statement of its own, and the submode of roles.
    typed Mode "mode" {
        Home = "home",
        Device = "device",
        Category = "category",
        Overlay = "configurationoverlay",
        SoftwareImage = "softwareimage",
        Roles = "roles",
        Main = "main",
    }
    /// What a statement begins with.
    typed Verb "verb" {
        Use = "use",
        Get = "get",
        Set = "set",
        Clear = "clear",
        Append = "append",
        RemoveFrom = "removefrom",
        List = "list",
        Commit = "commit",
        Reboot = "reboot",
        Power = "power",
        VersionInfo = "versioninfo",
        InstallerInteractions = "installerinteractions",
        ProvisioningStatus = "provisioningstatus",
        IsLocked = "islocked",
    }
    /// What stands behind a verb and is neither a property nor a name.
    typed Argument "argument" {
        Columns = "-f",
        Json = "-d {}",
        Nodes = "-n",
        On = "on",
        Status = "status",
        Confirm = "--confirm",
    }
    /// Properties, as `get` takes them and as a list's columns are titled, blanks and case aside.
    typed Property "property" {
        Hostname = "hostname",
        Name = "name",
        Type = "type",
        Category = "category",
        Ip = "ip",
        Status = "status",
        Datanode = "datanode",
        NextInstallMode = "nextinstallmode",
        ClearedAtBoot = "blockdevicesclearedonnextboot",
        Priority = "priority",
        AllHeadNodes = "allheadnodes",
        Nodes = "nodes",
        Categories = "categories",
        Roles = "roles",
        EtcdCluster = "etcdcluster",
        Spool = "spool",
        MemberName = "membername",
        AdvertisePeerUrls = "advertisepeerurls",
        AdvertiseClientUrls = "advertiseclienturls",
    }
    /// Roles.
    typed Role "role" {
        EtcdHost = "etcd::host",
        ApiServer = "kubernetes::apiserver",
    }
    /// What a line of `versioninfo` begins with that tells the release.
    read VersionLine "versioninfo" {
        ClusterManager = "Cluster Manager",
    }
    /// How the product names what belongs to a Kubernetes cluster: `kube-default-etcd`.
    read Habit "habit" {
        Prefix = "kube-",
        Suffix = "-etcd",
    }
    /// What stands for a node's own value in a property of a role.
    read Placeholder "placeholder" {
        Hostname = "$hostname",
        Ip = "$ip",
    }
    /// The values of a boolean; the first two are typed.
    typed Boolean "boolean" {
        Yes = "yes",
        No = "no",
        One = "1",
        Zero = "0",
        On = "on",
        Off = "off",
        True = "true",
        False = "false",
    }
    /// Install modes.
    typed Install "installmode" {
        Auto = "AUTO",
        Full = "FULL",
        Main = "MAIN",
        Nosync = "NOSYNC",
        Skip = "SKIP",
    }
    /// Types of devices; whatever else ends with `Node` is a node too.
    read DeviceType "type" {
        Head = "HeadNode",
        Master = "MasterNode",
        Any = "Node",
    }
    /// A device's state.
    read State "state" {
        Up = "UP",
        Down = "DOWN",
        Booting = "BOOTING",
        Installing = "INSTALLING",
        CallingInit = "INSTALLER_CALLINGINIT",
        CallingInitOfApi = "INSTALLER_CALLING_INIT",
        InstallerRebooting = "INSTALLER_REBOOTING",
        InstallerBurning = "INSTALLER_BURNING",
        Burning = "BURNING",
        GoingDown = "GOING_DOWN",
        Opening = "OPENING",
        Pending = "PENDING",
        InstallerFailed = "INSTALLER_FAILED",
        InstallerUnreachable = "INSTALLER_UNREACHABLE",
    }
    /// What stands beside `INSTALLING`: how far the installer is.
    read Installer "installer" {
        WaitsForUser = "waiting for user input",
        Resumed = "installation was resumed",
        Recreating = "recreating partitions",
        Mounting = "mounting disks",
        WaitsForFull = "waiting for FULL provisioning",
        WaitsForSync = "waiting for SYNC provisioning",
        Provisioning = "provisioning started",
        Provisioned = "provisioning complete",
        SeLinux = "initializing SELinux",
        Maintenance = "maintenance mode",
    }
    /// What `installerinteractions` lists of a node.
    read Interaction "interaction" {
        Full = "Requesting FULL Install",
    }
    /// The states of a power control; whatever else it says is no answer of it.
    read PowerWord "power" {
        On = "ON",
        Off = "OFF",
    }
    /// What `provisioningstatus` begins its lines with, and what it says in them.
    read Provisioner "provisioner" {
        Subsystem = "Provisioning subsystem status:",
        Accepting = "accepting requests",
        Busy = "Nodes currently provisioning:",
        Waiting = "Nodes waiting to be provisioned:",
        Nobody = "none",
        Zero = "0",
    }
    /// The titles of the table of `islocked`.
    read ImageTable "image" {
        Titles = "Name Locked",
    }
    /// What a status says beside the state.
    read Flag "flag" {
        Closed = "closed",
        Pingable = "pingable",
        Unassigned = "unassigned",
        RestartRequired = "restart-required",
        HealthCheckFailed = "health check failed",
        StateFlapping = "state flapping",
        HostnameChanged = "hostname changed",
    }
    /// The daemon's note of its head node's part, and what `cmha status` begins with.
    read Part "part" {
        Active = "ACTIVE",
        Passive = "PASSIVE",
        BecomePassive = "BECOMEPASSIVE",
        MasterMode = "master mode",
    }
    /// What `cmha` is asked.
    typed Cmha "cmha" {
        Status = "status",
    }
    /// Where Bright keeps its programs and its state.
    read Place "place" {
        Cmsh = "/cm/local/apps/cmd/bin/cmsh",
        Cmha = "/cm/local/apps/cmd/sbin/cmha",
        State = "/var/spool/cmd/state",
        EtcdManage = "/cm/local/apps/cmd/scripts/cm-etcd-manage",
    }
    /// The levels of an event, a line of which is no answer.
    read EventLevel "event" {
        Notice = "notice",
        Warning = "warning",
        Info = "info",
        Error = "error",
        Alert = "alert",
    }
    /// Beside a column's title.
    read Mark "mark" {
        Key = "(key)",
        Cut = "+",
    }
    /// Texts that say what a refusal is.
    read Message "message" {
        ValidationTable = "Code Field Message",
        NotFound = "not found",
        Warning = "Warning:",
        NotPermitted = "does not allow access to",
        SessionEnded = "Your session ended because",
        OtherHead = "became active master",
    }
    /// What a line that complains may hold. None of these decides anything alone: a write is read back.
    read Suspect "complaint" {
        NoSuch = "no such",
        Unknown = "unknown",
        Invalid = "invalid",
        Error = "error",
        Denied = "denied",
        Refused = "refused",
        Fail = "fail",
        Cannot = "cannot",
        CouldNot = "could not",
        Unable = "unable",
        NotAllowed = "not allowed",
        SessionEnded = "session ended",
        Usage = "usage:",
    }
}

impl Boolean {
    pub(crate) const fn value(self) -> bool {
        matches!(self, Self::Yes | Self::One | Self::On | Self::True)
    }
}

impl From<bool> for Boolean {
    fn from(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }
}

impl From<InstallMode> for Install {
    fn from(mode: InstallMode) -> Self {
        match mode {
            InstallMode::Auto => Self::Auto,
            InstallMode::Full => Self::Full,
            InstallMode::Main => Self::Main,
            InstallMode::Nosync => Self::Nosync,
            InstallMode::Skip => Self::Skip,
        }
    }
}

impl From<Install> for InstallMode {
    fn from(word: Install) -> Self {
        match word {
            Install::Auto => Self::Auto,
            Install::Full => Self::Full,
            Install::Main => Self::Main,
            Install::Nosync => Self::Nosync,
            Install::Skip => Self::Skip,
        }
    }
}

/// What only people are told to type, in a hint; group `advice` in the ledger.
#[cfg(test)]
const ADVICE: [&str; 10] = [
    "makeactive",
    "open",
    "reset",
    "services",
    "show",
    "showprofile",
    "status",
    "synclog",
    "unlock",
    "-a",
];

#[cfg(test)]
mod tests;
