//! Under construction in this first commit: the modules follow.
