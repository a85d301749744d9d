//! What can be typed. The only module that knows the argument parser.
//!
//! Flags with a default are options here: for one that the parser knows a default of, it takes that where the value is
//! forgotten, and says nothing.

use std::path::PathBuf;

use structopt::StructOpt;
use structopt::clap::AppSettings;
use welkin_modules::ids::{DeploymentId, LeaseId};
use welkin_runtime::Address;

use crate::output::Format;

/// Runs applications on other people's machines, from one file, at a known price.
#[derive(Debug, StructOpt)]
#[structopt(name = "welkin", setting = AppSettings::VersionlessSubcommands)]
pub struct Arguments {
    #[structopt(flatten)]
    pub global: Global,
    #[structopt(subcommand)]
    pub command: Command,
}

// Flags of every command. (As a doc comment, this would stand in the help in place of the program's own.)
#[derive(Clone, Debug, StructOpt)]
pub struct Global {
    /// The folder with keys, contexts and what is verified [default: ~/.welkin]
    #[structopt(long, global = true, env = "WELKIN_HOME")]
    pub home: Option<PathBuf>,
    /// The context of config.toml to use
    #[structopt(long, global = true, env = "WELKIN_CONTEXT")]
    pub context: Option<String>,
    /// RPC addresses of nodes, separated by commas; none needs to be trusted [default: http://127.0.0.1:26657]
    #[structopt(long, global = true, env = "WELKIN_NODE")]
    pub node: Option<String>,
    /// The genesis file of the network; remembered after the first use
    #[structopt(long, global = true, env = "WELKIN_GENESIS")]
    pub genesis: Option<PathBuf>,
    /// The key that signs [default: default]
    #[structopt(long, global = true, env = "WELKIN_KEY")]
    pub key: Option<String>,
    /// The file with the key's password; else WELKIN_KEYRING_PASSWORD, else you are asked
    #[structopt(long, global = true, env = "WELKIN_PASSWORD_FILE")]
    pub password_file: Option<PathBuf>,
    /// The form of the output: table, json or yaml [default: table]
    #[structopt(short, long, global = true, env = "WELKIN_OUTPUT")]
    pub output: Option<Format>,
}

#[derive(Debug, StructOpt)]
pub enum Command {
    /// Orders, takes a bid, hands the application over, and prints its URL
    Deploy(Deploy),
    /// Says who could run a file, at what price, and why the others could not
    Plan(Plan),
    /// Looks after deployments
    Deployment(Deployment),
    /// Looks into what runs
    Lease(Lease),
    /// Shows the market
    Market(Market),
    /// Shows providers
    Provider(Provider),
    /// Looks after keys
    Keys(Keys),
    /// Sends any call of any module
    #[structopt(setting = AppSettings::AllowLeadingHyphen, setting = AppSettings::DisableHelpFlags)]
    Tx(Dynamic),
    /// Asks any question of any module, and proves the answer
    #[structopt(setting = AppSettings::AllowLeadingHyphen, setting = AppSettings::DisableHelpFlags)]
    Query(Dynamic),
    /// Prints the version
    Version,
    /// Prints completions for a shell: bash, zsh, fish
    Completions {
        #[structopt(possible_values = &["bash", "zsh", "fish"])]
        shell: String,
    },
}

#[derive(Debug, StructOpt)]
pub struct Deploy {
    /// The SDL file
    pub file: PathBuf,
    /// Tokens for the escrow account, in uwlk [default: 5000000]
    #[structopt(long, env = "WELKIN_DEPOSIT")]
    pub deposit: Option<u64>,
    /// How long bids are waited for, in seconds; less where every provider that could bid has done so [default: 10]
    #[structopt(long, env = "WELKIN_BID_WAIT")]
    pub bid_wait: Option<u64>,
    /// Takes this provider's bid instead of the cheapest
    #[structopt(long, env = "WELKIN_PROVIDER")]
    pub provider: Option<Address>,
    /// Asks which bid to take [env: WELKIN_CHOOSE=1]
    #[structopt(long)]
    pub choose: bool,
    /// Takes prices in another denomination as uwlk [env: WELKIN_PRICE_AS_UWLK=1]
    #[structopt(long)]
    pub price_as_uwlk: bool,
    /// Refuses what would only be warned about [env: WELKIN_STRICT=1]
    #[structopt(long)]
    pub strict: bool,
    /// How long all of it may take, in seconds; the next run continues [default: 300]
    #[structopt(long, env = "WELKIN_TIMEOUT")]
    pub timeout: Option<u64>,
}

#[derive(Debug, StructOpt)]
pub struct Plan {
    /// The SDL file
    pub file: PathBuf,
    /// Only reads the file: exit code 0 if it is accepted, 2 if not [env: WELKIN_OFFLINE=1]
    #[structopt(long)]
    pub offline: bool,
    /// Takes prices in another denomination as uwlk [env: WELKIN_PRICE_AS_UWLK=1]
    #[structopt(long)]
    pub price_as_uwlk: bool,
    /// Refuses what would only be warned about [env: WELKIN_STRICT=1]
    #[structopt(long)]
    pub strict: bool,
}

#[derive(Debug, StructOpt)]
pub enum Deployment {
    /// Lists yours
    List {
        /// Whose instead
        #[structopt(long, env = "WELKIN_OWNER")]
        owner: Option<Address>,
    },
    /// Shows one, with its money
    Show {
        /// The deployment's number
        id: DeploymentId,
    },
    /// Replaces the application by a new version of the file
    Update(Update),
    /// Ends it; what is left comes back
    Close {
        /// The deployment's number
        id: DeploymentId,
        /// How long it may take until a block has it, in seconds [default: 60]
        #[structopt(long, env = "WELKIN_TIMEOUT")]
        timeout: Option<u64>,
    },
    /// Adds tokens, in uwlk; anybody may
    Deposit {
        /// The deployment's number
        id: DeploymentId,
        /// How much, in uwlk
        amount: u64,
        /// How long it may take until a block has it, in seconds [default: 60]
        #[structopt(long, env = "WELKIN_TIMEOUT")]
        timeout: Option<u64>,
    },
}

#[derive(Debug, StructOpt)]
pub struct Update {
    /// The deployment's number
    pub id: DeploymentId,
    /// The new version of the SDL file
    pub file: PathBuf,
    /// How long bids on a group without a lease are waited for, in seconds [default: 10]
    #[structopt(long, env = "WELKIN_BID_WAIT")]
    pub bid_wait: Option<u64>,
    /// Takes prices in another denomination as uwlk [env: WELKIN_PRICE_AS_UWLK=1]
    #[structopt(long)]
    pub price_as_uwlk: bool,
    /// Refuses what would only be warned about [env: WELKIN_STRICT=1]
    #[structopt(long)]
    pub strict: bool,
    /// How long all of it may take, in seconds; the next run continues [default: 300]
    #[structopt(long, env = "WELKIN_TIMEOUT")]
    pub timeout: Option<u64>,
}

#[derive(Debug, StructOpt)]
pub enum Lease {
    /// Shows what its provider says of it
    Status { id: LeaseId },
    /// Prints what its services write
    Logs {
        /// The lease, as DEPLOYMENT/GROUP/ORDER
        id: LeaseId,
        /// Only of this service; may be given several times
        #[structopt(long, number_of_values = 1, env = "WELKIN_SERVICE")]
        service: Vec<String>,
        /// Goes on as lines come [env: WELKIN_FOLLOW=1]
        #[structopt(short, long)]
        follow: bool,
        /// Only so many of the last lines of each replica
        #[structopt(long, env = "WELKIN_TAIL")]
        tail: Option<u32>,
    },
    /// Prints what its provider did
    Events {
        /// The lease, as DEPLOYMENT/GROUP/ORDER
        id: LeaseId,
        /// Goes on as they come [env: WELKIN_FOLLOW=1]
        #[structopt(short, long)]
        follow: bool,
    },
    /// Runs a command in one of its containers
    Shell {
        /// The lease, as DEPLOYMENT/GROUP/ORDER
        id: LeaseId,
        /// The service; the first one if not given
        #[structopt(long, env = "WELKIN_SERVICE")]
        service: Option<String>,
        /// The replica [default: 0]
        #[structopt(long, env = "WELKIN_REPLICA")]
        replica: Option<u32>,
        /// Gives the command a terminal [env: WELKIN_TTY=1]
        #[structopt(short, long)]
        tty: bool,
        /// The command; `sh` in a terminal if not given
        #[structopt(last = true)]
        command: Vec<String>,
    },
}

#[derive(Debug, StructOpt)]
pub enum Market {
    /// Lists open orders
    Orders {
        /// Only of this deployment
        #[structopt(long, env = "WELKIN_DEPLOYMENT")]
        deployment: Option<DeploymentId>,
    },
    /// Lists the bids on an order
    Bids {
        /// The order, as DEPLOYMENT/GROUP/ORDER
        order: LeaseId,
    },
    /// Lists your active leases
    Leases {
        /// Whose instead
        #[structopt(long, env = "WELKIN_OWNER")]
        owner: Option<Address>,
        /// Of this provider instead
        #[structopt(long, env = "WELKIN_PROVIDER")]
        provider: Option<Address>,
    },
}

#[derive(Debug, StructOpt)]
pub enum Provider {
    /// Lists all
    List,
    /// Shows one
    Show {
        /// The provider's account
        address: Address,
    },
}

#[derive(Debug, StructOpt)]
pub enum Keys {
    /// Makes a new key and prints the phrase that restores it, once
    Add {
        /// The key's name
        name: String,
    },
    /// Lists keys
    List,
    /// Shows one, without its secret
    Show {
        /// The key's name
        name: String,
    },
    /// Restores a key from the phrase on standard input
    Import {
        /// The key's name
        name: String,
    },
    /// Prints the secret of a key, in hexadecimal digits
    Export {
        /// The key's name
        name: String,
        /// Says that the secret may be printed [env: WELKIN_UNSAFE_PRINT=1]
        #[structopt(long)]
        unsafe_print: bool,
    },
    /// Deletes a key for good
    Delete {
        /// The key's name
        name: String,
        /// Does not ask [env: WELKIN_YES=1]
        #[structopt(long)]
        yes: bool,
    },
}

#[derive(Debug, StructOpt)]
pub struct Dynamic {
    /// MODULE NAME --field value ...; without arguments, what there is
    #[structopt(multiple = true)]
    pub words: Vec<String>,
}
