package io.privyseal;

/** The unary RPCs of all four services; {@link PrivysealClient} is one, and so is each of its views. */
public interface Calls extends SigningCalls, KeyCalls, VenueCalls, HoldCalls {}
