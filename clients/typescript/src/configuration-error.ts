/** A setting that can't be right, told when a client or a door is made. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
  /** The name of the setting, such as `tls.ca`. */
  readonly setting: string;

  /**
   * @param setting the name of the setting
   * @param advice what is wrong with it and what to do
   */
  constructor(setting: string, advice: string) {
    super(`${setting}: ${advice}`);
    this.setting = setting;
  }
}
