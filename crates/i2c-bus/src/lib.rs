//! i2c-bus
