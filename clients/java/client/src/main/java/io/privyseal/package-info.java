/**
 * The Java client of Privyseal, a signing service for crypto exchanges: {@link io.privyseal.PrivysealClient} has the RPCs,
 * and {@link io.privyseal.Door} sends HTTP requests signed.
 */
package io.privyseal;
