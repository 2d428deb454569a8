//! A deterministic world for the engine: clients, network, disk, stores and their faults from one seed.
